#!/usr/bin/python3
"""The parts that are loaded when they are needed: a daemon without them serves what does without, and names what is missing.

    tests/e2e/test_parts.py BUILD
"""
import os
import shutil
import sys
import tempfile

import gateway
from gateway import check, wait_for


class Alone(gateway.Gateway):
    """A copy of the daemon in a folder where its parts are not."""

    def __init__(self, suite, folder, **options):
        super().__init__(suite.build, **options)
        self.programs = dict(self.programs)
        self.programs["gatehoused"] = os.path.join(folder, "gatehoused")
        shutil.copy(gateway.programs(suite.build)["gatehoused"], folder)


def loaded(gw):
    with open(f"/proc/{gw.process.pid}/maps", encoding="utf-8") as file:
        text = file.read()
    return [name for name in ("gatehouse-tls.so", "gatehouse-paho.so", "libssl", "libpaho") if name in text]


def nothing_without_need(suite):
    with gateway.Gateway(suite.build) as gw:
        with gw.client("somebody") as client:
            client.ping()
        check(not loaded(gw), f"nothing of TLS is loaded: {loaded(gw)}")


def tls_with_a_listener(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        certificates = gateway.Certificates(folder)
        with gateway.Gateway(suite.build, listen=(certificates.door(),)) as gw:
            check(loaded(gw) == ["gatehouse-tls.so", "libssl"], f"TLS is loaded, and no more: {loaded(gw)}")


def plain_without_parts(suite, folder):
    with Alone(suite, folder) as gw:
        with gw.client("somebody") as client:
            client.ping()
        check(gw.stop() == 0, "it ends in order")


def tls_without_parts(suite, folder):
    certificates = gateway.Certificates(folder)
    gw = Alone(suite, folder, listen=(certificates.door(),))
    try:
        gw.launch()
        check(gw.wait() == 1, "it does not start")
        wait_for(lambda: gw.logged("cannot listen: TLS cannot be loaded: .*gatehouse-tls.so"), f"the log names it: {gw.log}")
    finally:
        gw.end()


def uplink_without_parts(suite, folder):
    with Alone(suite, folder, config="[uplink cloud]\nuri = mqtt://127.0.0.1:1\n") as gw:
        wait_for(lambda: gw.logged("Paho cannot be loaded: .*gatehouse-paho.so"), "the log names what is missing")
        with gw.client("somebody") as client:
            client.ping()
        check(gw.stop() == 0, "it ends in order")


def main():
    suite = gateway.Suite(sys.argv[1])
    suite.run("nothing is loaded that nobody needs", nothing_without_need, suite)
    suite.run("a TLS listener loads TLS", tls_with_a_listener, suite)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        suite.run("without its parts it serves plain connections", plain_without_parts, suite, folder)
        suite.run("a TLS listener without its part is refused by name", tls_without_parts, suite, folder)
        suite.run("an uplink without its part is told by name, and the rest works", uplink_without_parts, suite, folder)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
