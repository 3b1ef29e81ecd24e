#!/usr/bin/python3
"""Stock shadow clients, with nothing changed but endpoint, authority and certificates: thingShadow of aws-iot-device-sdk
(JavaScript), Paho Python going through the documented flows, and boto3 by HTTPS. All by TLS with certificates of both sides, as
nodes that may use their own thing and no other.

    tests/e2e/test_stock_clients.py BUILD

aws-iot-device-sdk comes from the package registry into BUILD/npm/aws, once; without npm or the registry it is skipped. boto3 is
that of any python3 in PATH which has it.
"""
import fcntl
import http.client
import json
import os
import subprocess
import sys
import tempfile

import gateway
import test_clients
from gateway import Skip, check

HERE = os.path.dirname(os.path.abspath(__file__))
SDK = "aws-iot-device-sdk"


def need_sdk(build):
    """Where node finds it. In a folder of its own: it wants an older mqtt than tests/e2e/test_clients.py."""
    node, npm = gateway.find_tool("node"), gateway.find_tool("npm")
    folder = os.path.join(build, "npm", "aws")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(os.path.join(folder, "node_modules", SDK)):
            done = subprocess.run([npm, "install", "--prefix", folder, SDK + "@2", "--no-audit", "--no-fund"],
                                  capture_output=True, text=True, timeout=180, check=False)
            if done.returncode:
                raise Skip(f"npm install {SDK}@2: {done.stderr.strip().splitlines()[-1:]}")
    modules = os.path.join(folder, "node_modules")
    done = subprocess.run([node, "-e", f"require('{SDK}')"], capture_output=True, check=False, text=True,
                          env=os.environ | {"NODE_PATH": modules})
    if done.returncode:
        raise Skip(f"{SDK} cannot be loaded: {done.stderr.strip().splitlines()[-1:]}")
    return node, modules


class Things(test_clients.Program):
    """thing_shadow.cjs: a line of it is `WORDS DOCUMENT`."""

    def tell(self, line):
        self.process.stdin.write(line + "\n")

    def expect_document(self, words, **members):
        found = self.next(self.messages, words)
        check(found.startswith(words + " "), f"expected {words!r}, found {found!r} in {self.seen[-6:]}")
        document = json.loads(found[len(words):])
        for key, value in members.items():
            check(document.get(key) == value, f"expected {key} {value!r}: {found}")
        return document


class Stage:
    def __init__(self, build, gw, certificates):
        self.build, self.gw, self.certificates = build, gw, certificates

    def identity(self, name):
        return self.certificates.ca, *self.certificates.issue(name)

    def things(self, name):
        node, modules = need_sdk(self.build)
        return Things(node, os.path.join(HERE, "clients", "thing_shadow.cjs"), "localhost", str(self.gw.port("mqtts")),
                      *self.identity(name), name, environment={"NODE_PATH": modules, "NODE_NO_WARNINGS": "1"})

    def rest(self, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.gw.port("http"), timeout=gateway.LONG)
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def thing_shadow(stage):
    with stage.things("lamp") as lamp:
        lamp.expect("connected")
        lamp.tell("register lamp")
        lamp.expect("registered")
        lamp.tell("get lamp")
        lamp.expect_document("status lamp rejected", code=404)
        lamp.tell('update lamp {"state":{"reported":{"on":false}}}')
        lamp.expect_document("status lamp accepted", state={"reported": {"on": False}})
        an_application_wishes(stage, lamp)
        versions_go_on(stage, lamp)
        lamp.tell("delete lamp")
        lamp.expect_document("status lamp accepted")
        lamp.tell("get lamp")
        lamp.expect_document("status lamp rejected", code=404)
        lamp.tell("unregister lamp")
        lamp.expect("unregistered")
        lamp.tell("end")
        lamp.expect("ended")


def an_application_wishes(stage, lamp):
    """Somebody else's update: the device gets a delta, does it, and says so; then there is no difference."""
    status, made = stage.rest("POST", "/things/lamp/shadow", '{"state":{"desired":{"on":true}}}')
    check(status == 200 and made["version"] == 2, f"the application's update: {made}")
    found = [lamp.next(lamp.messages, "a delta and a foreign change") for _ in range(2)]
    check(sorted(line.split(" ")[0] for line in found) == ["delta", "foreign"], f"heard {found}")
    delta = json.loads(next(line for line in found if line.startswith("delta")).split(" ", 2)[2])
    check(delta == {"version": 2, "state": {"on": True}}, f"the delta: {delta}")
    lamp.tell('update lamp {"state":{"reported":{"on":true}}}')
    lamp.expect_document("status lamp accepted", state={"reported": {"on": True}})
    lamp.tell("get lamp")
    document = lamp.expect_document("status lamp accepted")
    check(document["state"] == {"desired": {"on": True}, "reported": {"on": True}}, f"no delta is left: {document}")


def versions_go_on(stage, lamp):
    """The library sends the version that it knows with every update; others' changes move it on."""
    for n in range(3):
        status, made = stage.rest("POST", "/things/lamp/shadow", '{"state":{"reported":{"by-hand":%d}}}' % n)
        check(status == 200, f"an update of somebody else's: {made}")
        lamp.expect_document("foreign lamp update", version=made["version"])
        lamp.tell('update lamp {"state":{"reported":{"n":%d}}}' % n)
        lamp.expect_document("status lamp accepted", version=made["version"] + 1)


def many_things(stage):
    """Two devices of one kind do not hear each other; a connection that is lost comes back, and its things with it."""
    with stage.things("left") as left, stage.things("right") as right:
        for name, thing in (("left", left), ("right", right)):
            thing.expect("connected")
            thing.tell(f"register {name}")
            thing.expect("registered")
        for n in range(20):
            for name, thing in (("left", left), ("right", right)):
                thing.tell('update %s {"state":{"reported":{"n":%d}}}' % (name, n))
            for name, thing in (("left", left), ("right", right)):
                thing.expect_document(f"status {name} accepted", state={"reported": {"n": n}})
        for name in ("left", "right"):
            check(stage.rest("GET", f"/things/{name}/shadow")[1]["version"] == 20, f"all of {name}'s updates")


def paho(stage, *name):
    test_clients.need_python_paho()
    thing = "-".join(("press", *name))
    done = subprocess.run([sys.executable, os.path.join(HERE, "clients", "paho_shadow.py"), "localhost",
                           str(stage.gw.port("mqtts")), *stage.identity(thing), thing, *name], capture_output=True, text=True,
                          timeout=2 * gateway.LONG, check=False)
    check(done.returncode == 0, f"{done.stdout}\n{done.stderr}")
    check(len(done.stdout.splitlines()) == 17, f"seventeen answers: {done.stdout}")


def need_boto3():
    """A Python that has it."""
    folders = [os.path.dirname(sys.executable), *os.environ.get("PATH", "").split(":")]
    for python in dict.fromkeys(os.path.join(folder, "python3") for folder in folders):
        if os.access(python, os.X_OK) and not subprocess.run([python, "-c", "import boto3"], capture_output=True,
                                                             check=False).returncode:
            return python
    raise Skip("boto3 is not installed")


def boto3(stage, scheme):
    python, thing = need_boto3(), f"valve-{scheme}"
    tls = stage.identity(thing) if scheme == "https" else ()
    with stage.gw.client("listener") as listener:
        listener.subscribe(f"dt/{thing}/#")
        done = subprocess.run([python, os.path.join(HERE, "clients", "boto3_shadow.py"),
                               f"{scheme}://localhost:{stage.gw.port(scheme)}", thing, *tls], capture_output=True, text=True,
                              timeout=2 * gateway.LONG, check=False)
        check(done.returncode == 0, f"{done.stdout}\n{done.stderr}")
        found = [listener.message().payload for _ in range(3)]
        check(found == [b"from boto3 0", b"from boto3 1", b"stays"], f"published: {found}")


def main():
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-stock-") as folder:
        certificates = gateway.Certificates(folder)
        listen = (gateway.OPEN, certificates.door(), certificates.door(scheme="https"), "http://127.0.0.1:0?access=open")
        with gateway.Gateway(suite.build, listen=listen) as gw:
            stage = Stage(suite.build, gw, certificates)
            suite.run("aws-iot-device-sdk: thingShadow registers, gets, updates, hears deltas, deletes", thing_shadow, stage)
            suite.run("aws-iot-device-sdk: two devices at the same time", many_things, stage)
            suite.run("Paho Python: the documented flows of a classic shadow", paho, stage)
            suite.run("Paho Python: the documented flows of a named shadow", paho, stage, "cfg")
            for scheme in ("http", "https"):
                suite.run(f"boto3: shadows, lists and publishing by {scheme}", boto3, stage, scheme)
            check(gw.is_running(), "the daemon runs")
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
