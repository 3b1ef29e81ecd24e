#!/usr/bin/python3
"""deploy/quickstart --demo: status 0 when everything was seen, another one when a link of the chain is left out.

    tests/e2e/test_quickstart.py BUILD [--demo SECONDS]

All at once: most of the time each of them waits for something.
"""
import argparse
import os
import signal
import subprocess

import gateway
from gateway import check

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "quickstart")


def demo(suite, seconds, without=None):
    gateway.find_tool("mosquitto")
    command = ["bash", SCRIPT, "--demo", str(seconds), "--no-install", "--build", suite.build]
    process = subprocess.Popen(command + (["--without", without] if without else []), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=4 * gateway.LONG)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if without:
        check(process.returncode == 1, f"status {process.returncode} although the {without} is missing:\n{output}")
        check("missed" in output, f"it says what it has missed:\n{output}")
    else:
        check(process.returncode == 0, f"status {process.returncode}:\n{output}")
    check(not group_members(process.pid), f"processes are left: {group_members(process.pid)}")


def group_members(group):
    """Live processes of the group: quickstart ends what it has started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(name))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--demo", type=int, default=20)
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    tests = [("the demo sees everything", demo, suite, options.demo)]
    tests += [(f"without the {link} the demo fails", demo, suite, 1, link) for link in ("node", "route", "uplink", "plugin")]
    suite.run_all(tests, workers=len(tests))
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
