#!/usr/bin/python3
"""Records that leave through a connector: a plugin that posts them to a server, which fails in all ways; the plugin itself
crashes, hangs, is not there, or is no connector.

    tests/e2e/test_uplink_plugin.py BUILD

Whatever happens, every record arrives, in order, and what the server refuses for good becomes a dead letter.
"""
import json
import os
import signal
import sys

import gateway
import web
from gateway import check, wait_for


def config(build, port, plugin="webhook/webhook.so", more=""):
    return (f"[plugin hook]\npath = {build}/plugins/{plugin}\nurl = http://127.0.0.1:{port}/in\ntimeout = 1000\n"
            "authorization = Bearer abc\nsubscribe = hello/ask\npublish = hello/answer\n"
            f"[uplink out]\nuri = plugin:hook\n{more}[stream s]\nuplink = out\n[route r]\nfilter = r/#\nstream = s\n")


def uplink(gw):
    return next(u for u in gw.ctl("uplink/list")["uplinks"] if u["name"] == "out")


def plugin(gw):
    return gw.ctl("plugin/list")["plugins"][0]


class Stage:
    def __init__(self, suite, **options):
        self.server = web.Server()
        self.gw = gateway.Gateway(suite.build, config(suite.build, self.server.port, **options))
        self.count = 0

    def __enter__(self):
        self.gw.start()
        wait_for(lambda: plugin(self.gw)["state"] == "running", "the plugin runs")
        return self

    def __exit__(self, kind, error, trace):
        self.server.end()
        self.gw.__exit__(kind, error, trace)

    def publish(self, count, word="n"):
        with self.gw.client(f"p{self.count}") as client:
            for _ in range(count):
                client.publish(f"r/{self.count % 3}", f"{word}{self.count}")
                self.count += 1

    def settled(self):
        def is_done():
            if uplink(self.gw)["state"] == "down":  # what is tested is not how long pauses are
                self.gw.ctl("uplink/restore", b'{"name":"out"}')
            return self.gw.stream("s")["pending"] == 0
        wait_for(is_done, f"nothing is pending; {uplink(self.gw)}", pause=0.1)

    def numbers(self, twice=False):
        numbers = [int(r["payload"].lstrip("n")) for r in self.server.taken]
        if twice:  # and each time in order: what comes again comes with all behind it
            last = {number: at for at, number in enumerate(numbers)}
            check([last[number] for number in sorted(last)] == sorted(last.values()), f"in order: {numbers}")
            return sorted(last)
        check(numbers == sorted(set(numbers)), f"once and in order: {numbers}")
        return numbers


def usual(suite):
    with Stage(suite) as stage:
        stage.publish(200)
        stage.settled()
        check(stage.numbers() == list(range(200)), "all arrive")
        _, headers, records = stage.server.posts[7]
        check(headers["Gatehouse-Stream"] == "s" and headers["Gatehouse-Seq"] == "7" and records[0]["topic"] == "r/1"
              and headers["Authorization"] == "Bearer abc", str(headers))
        said = uplink(stage.gw)
        check(said["kind"] == "plugin" and said["state"] == "up" and said["sent"] == 200, str(said))


def broken(suite, plan, twice=False):
    with Stage(suite) as stage:
        stage.publish(3)
        stage.settled()
        stage.server.plan.extend(plan)
        stage.publish(40)
        stage.settled()
        check(stage.numbers(twice) == list(range(43)), "all arrive")


def dead_letters(suite):
    with Stage(suite) as stage:
        stage.server.usual = web.refuse_bad
        for i in range(30):
            stage.publish(1, "bad" if i in (0, 11, 12) else "n")
        stage.settled()
        check(stage.numbers() == [i for i in range(30) if i not in (0, 11, 12)], "the others arrive")
        lines = stage.gw.cli("--json", "stream", "read", "dead-letters").splitlines()
        letters = [json.loads(json.loads(line)["payload"]) for line in lines]
        check([letter["payload"] for letter in letters] == ["bad0", "bad11", "bad12"], str(letters))


def crashes(suite):
    with Stage(suite) as stage:
        stage.server.plan.extend([web.take] * 20 + [web.hang])
        stage.publish(50)
        wait_for(lambda: stage.server.running, "a request is under way")
        os.kill(plugin(stage.gw)["pid"], signal.SIGKILL)
        said = wait_for(lambda: (lambda u: u["state"] == "down" and u)(uplink(stage.gw)), "the uplink is down")
        check("plugin hook: " in said["reason"], str(said))
        stage.server.release.set()
        stage.settled()
        check(stage.numbers(twice=True) == list(range(50)), "all arrive")


def hangs(suite):
    """Stopped: it says nothing any more, until it is found and replaced."""
    with Stage(suite) as stage:
        stage.publish(5)
        stage.settled()
        os.kill(plugin(stage.gw)["pid"], signal.SIGSTOP)
        stage.publish(20)
        stage.settled()
        check(stage.numbers(twice=True) == list(range(25)), "all arrive")


def no_connector(suite):
    with Stage(suite, plugin="hello/hello.so") as stage:
        stage.publish(5)
        said = wait_for(lambda: (lambda u: u["state"] == "down" and u)(uplink(stage.gw)), "the uplink is down")
        check("no connector" in said["reason"], str(said))
        check(stage.gw.stream("s")["pending"] == 5, "records are kept")


def restarts(suite):
    with Stage(suite) as stage:
        stage.publish(30)
        stage.gw.restart()
        stage.publish(30)
        stage.settled()
        check(stage.numbers(twice=True) == list(range(60)), "all arrive")
        said = stage.gw.ask("uplink", "cut", "out")
        check(said["state"] == "down", str(said))
        stage.publish(5)
        check(len({r["payload"] for r in stage.server.taken}) == 60, "nothing leaves")
        stage.gw.ask("uplink", "restore", "out")
        stage.settled()


def main():
    suite = gateway.Suite(sys.argv[1])
    tests = [
        ("records go to the connector and from there to the server", usual),
        ("connections that are reset", broken, [web.reset, web.reset]),
        ("answers 500 and 401", broken, [web.status(500), web.status(401)]),
        ("answers that hang", broken, [web.hang]),
        ("answers that end in the middle", broken, [web.half]),
        ("answers that never come although the records were taken", broken, [web.take_and_vanish], True),
        ("what the server refuses for good becomes a dead letter", dead_letters),
        ("the plugin is killed", crashes),
        ("the plugin hangs", hangs),
        ("the plugin is no connector", no_connector),
        ("the gateway is killed; cut and restore", restarts),
    ]
    suite.run_all([(sentence, function, suite, *more) for sentence, function, *more in tests], 4)
    return suite.end()


gateway.run(main)
