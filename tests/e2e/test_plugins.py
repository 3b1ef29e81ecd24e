#!/usr/bin/python3
"""Plugins that crash, hang, leak and end: nobody else notices, they are replaced, and get what they had not acknowledged.

    tests/e2e/test_plugins.py BUILD

A daemon with well-behaved plugins and some that misbehave when told to (tests/plugins/unruly.c), and clients that exchange
messages all the time.
"""
import json
import os
import re
import sys

import gateway
from drill import Load, Publisher, Sequence
from gateway import check, is_alive, wait_for

# What each of the unruly ones is told, and how its end is described.
UNRULY = {"crash": ("boom", "signal 11"), "hang": ("hang", "did not keep alive"), "leak": ("leak", "signal")}


def sections(build):
    def plugin(name, path, publish, subscribe, *more):
        lines = [f"[plugin {name}]", f"path = {build}/{path}", f"publish = {publish}",
                 f"subscribe = {subscribe}", *more]
        return "\n".join(lines) + "\n"

    unruly = [plugin(name, "tests/plugins/unruly.so", f"done/{name}", f"work/{name}") for name in (*UNRULY, "exit", "poison")]
    return "".join(unruly) + plugin("hello", "plugins/hello/hello.so", "hello/answer", "hello/ask") + plugin(
        "threshold", "plugins/threshold/threshold.so", "alarm/#", "dt/+/env", "topic = dt/+/env", "field = temp",
        "above = 30", "hysteresis = 1", "alarm = alarm/${1}")


def plugins(gw):
    return {plugin["name"]: plugin for plugin in gw.ctl("plugin/list")["plugins"]}


def all_running(gw):
    return all(plugin["state"] == "running" for plugin in plugins(gw).values())


class Stage:
    def __init__(self, suite, gw):
        self.gw = gw
        # A sanitizer needs more memory than any limit: there is none then, and a leak would take the machine's.
        self.unruly = {name: how for name, how in UNRULY.items() if name != "leak" or not suite.is_sanitized()}
        self.before = plugins(gw)
        self.ear = gateway.Ear(gw.port(), "done/#", "alarm/#", "hello/answer")
        self.heard = []
        self.bystander = gateway.Ear(gw.port(), "bystander/#", name="bystander")
        self.publishers = [Publisher("bystander/a", 4, 1), Publisher("bystander/b", 5, 2)]
        self.load = Load(gw.port(), self.publishers, [2, 2])
        self.mouth = gw.client("mouth")

    def expect(self, topic, pattern, sentence):
        """A message that has come, or comes yet."""
        def has_come():
            while self.ear.heard:
                message = self.ear.heard.popleft()
                self.heard.append((message.topic, message.payload.decode()))
            return any(t == topic and re.fullmatch(pattern, text) for t, text in self.heard)
        wait_for(has_come, sentence)

    def misbehave(self):
        for name, (word, _) in self.unruly.items():
            self.mouth.publish(f"work/{name}", word)
            self.mouth.publish(f"work/{name}", "the-next")
        for name, word in (("exit", "exit"), ("poison", "always")):
            self.mouth.publish(f"work/{name}", word)
            self.mouth.publish(f"work/{name}", "antidote")

    def others_work(self):
        self.mouth.publish("hello/ask", "anybody?")
        self.expect("hello/answer", r"anybody\?", "hello answers while the others misbehave")
        for temp in (20, 31, 32, 25):
            self.mouth.publish("dt/b1/env", json.dumps({"temp": temp}))
        self.expect("alarm/b1", r'\{"state":"raised".*"value":31.*\}', "threshold raises its alarm")
        self.expect("alarm/b1", r'\{"state":"cleared".*"value":25.*\}', "and clears it")

    def replaced(self, name):
        """A new process gets the message that was not acknowledged, marked, and the one behind it."""
        word, reason = self.unruly[name]
        self.expect(f"done/{name}", "again " + word, f"{name}: a new process gets the message again")
        self.expect(f"done/{name}", "(again )?the-next", f"{name}: and the one behind it")
        answers = [text for topic, text in self.heard if topic == f"done/{name}"]
        check(len(answers) == 2 and answers[0] == "again " + word, f"{name}: both once and in order: {answers}")
        plugin = wait_for(lambda: self.is_back(name), f"{name}: runs again")
        check(reason in (plugin["reason"] or ""), f"{name}: the reason is {plugin['reason']}")
        check(plugin["restarts"] == 1, f"{name}: was started again once, not {plugin['restarts']} times")
        check(plugin["pid"] != self.before[name]["pid"] and not is_alive(self.before[name]["pid"]),
              f"{name}: the old process is gone")

    def is_back(self, name):
        plugin = plugins(self.gw)[name]
        return plugin if plugin["state"] == "running" else None

    def given_up(self, name):
        """A message that ends every process is given up after four of them; the one behind it is not."""
        self.expect(f"done/{name}", "(again )?antidote", f"{name}: the message behind it is served in the end")
        plugin = wait_for(lambda: self.is_back(name), f"{name}: runs again")
        check(plugin["restarts"] >= 4, f"{name}: was started again {plugin['restarts']} times")

    def nobody_noticed(self):
        self.load.stop()
        found = Sequence()

        def all_heard():
            while self.bystander.heard:
                message = self.bystander.heard.popleft()
                found.take(message.topic, message.payload)
            return all(found.complete(publisher) for publisher in self.publishers)
        wait_for(all_heard, "everything the bystanders said is heard")
        check(min(p.acked for p in self.publishers) > 100, "the bystanders were busy")
        for name in ("hello", "threshold"):
            check(plugins(self.gw)[name]["pid"] == self.before[name]["pid"], f"{name} is the process it was")
        print(f"          {sum(p.acked for p in self.publishers)} messages of bystanders meanwhile")

    def door_is_its_own(self):
        """Who comes in by a plugin's socket may do what the plugin may."""
        path = os.path.join(self.gw.runtime, "plugins", "hello.sock")
        check(os.stat(path).st_mode & 0o777 == 0o600, "the socket is for its user alone")
        with gateway.raw.Client(path, "guest", version=5) as guest:
            check(guest.publish("hello/answer", "x") == 0, "it may publish where hello may")
            check(guest.publish("work/crash", "x") == 0x87, "and nowhere else")
            check(guest.subscribe("hello/ask", "done/#") == [1, 0x87], "and hear what hello may, nothing else")

    def stop(self):
        pids = [plugin["pid"] for plugin in plugins(self.gw).values()]
        self.end()
        check(self.gw.stop() == 0, "the daemon stops with status 0")
        check(not any(is_alive(pid) for pid in pids), "and its plugins have stopped before it")

    def end(self):
        self.load.ended.set()
        self.ear.end()
        self.bystander.end()
        self.mouth.abort()


def die_with_the_daemon(gw):
    gw.start()
    wait_for(lambda: all_running(gw), "all plugins run again")
    pids = [plugin["pid"] for plugin in plugins(gw).values()]
    with gw.client("mouth") as mouth:
        mouth.publish("work/hang", "hang")
    gw.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "plugins end with a daemon that is killed, hanging or not")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    suite = gateway.Suite(sys.argv[1])
    with gateway.Gateway(suite.build, sections(suite.build)) as gw:
        suite.run("all plugins start", wait_for, lambda: all_running(gw), "all run")
        stage = Stage(suite, gw)
        try:
            suite.run("some are told to misbehave", stage.misbehave)
            suite.run("other plugins work all the while", stage.others_work)
            for name in stage.unruly:
                suite.run(f"{name}: is started again and gets what it had not acknowledged", stage.replaced, name)
            for name in ("exit", "poison"):
                suite.run(f"{name}: a message that ends every process does so four times", stage.given_up, name)
            suite.run("nobody else has noticed", stage.nobody_noticed)
            suite.run("a plugin's socket gives a plugin's rights", stage.door_is_its_own)
            suite.run("plugins stop with the daemon", stage.stop)
            suite.run("plugins do not outlive a daemon that is killed", die_with_the_daemon, gw)
        finally:
            stage.end()
            if suite.failed:
                gw.show_log(100)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
