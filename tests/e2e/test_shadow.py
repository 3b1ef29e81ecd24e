#!/usr/bin/python3
"""Device shadows of the real daemon: the reference's worked examples, history, kill -9, a full disk.

    tests/e2e/test_shadow.py BUILD [--kills N] [--seed N] [--only WORD]

The examples are tests/services/shadow/examples.json. Their times are those of a clock moved by hand; here a time of an
example may be any second in which a step of that time was done. What history says is checked against merge patches applied
here, in Python, and against what clients were told.
"""
import argparse
import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import gateway
import raw
from gateway import check
from shadow_drill import ChangingShadow, check_past, request, states_of
from test_state import Mount, fill

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = os.path.join(ROOT, "tests", "services", "shadow", "examples.json")
START = 1760000000  # the first second of the examples
KEPT = 40  # versions that are remembered while the daemon is killed


@contextlib.contextmanager
def stopped(build, config="", **options):
    """A gateway that was not started yet."""
    gw = gateway.Gateway(build, config, **options)
    try:
        yield gw
    except BaseException:
        gw.show_log()
        raise
    finally:
        gw.end()


def base_of(thing, name=None):
    return f"$aws/things/{thing}/shadow/" + (f"name/{name}/" if name else "")


# ---- the worked examples ----------------------------------------------------------------------------------------------


class Examples:
    def __init__(self, gw, version):
        self.gw = gw
        self.watcher = gw.client("watcher", version=version)
        self.watcher.subscribe("$aws/things/#", "end")
        self.client = gw.client("device", version=version)
        self.seconds = {}  # (shadow, time in the examples): the seconds in which that was

    def step(self, topic, payload, moment):
        """What was said because of a request, in order."""
        begin = int(time.time())
        check(self.client.publish(topic, payload) == 0, "a request is acknowledged, whatever becomes of it")
        self.client.publish("end", "")
        found = []
        while (message := self.watcher.message()).topic != "end":
            if message.topic != topic and not message.topic.startswith(base_of("test")):  # the gateway's own
                found.append((message.topic, json.loads(message.payload)))
        known = self.seconds.setdefault((topic.rsplit("/", 1)[0], moment), set())
        known.update(range(begin, int(time.time()) + 1))
        return found

    def same(self, shadow, expected, found):
        if isinstance(expected, dict):
            return isinstance(found, dict) and expected.keys() == found.keys() and all(
                self.same(shadow, value, found[key]) for key, value in expected.items())
        if isinstance(expected, list):
            return isinstance(found, list) and len(expected) == len(found) and all(
                self.same(shadow, *pair) for pair in zip(expected, found))
        if isinstance(expected, int) and START <= expected < START + 1000:
            return found in self.seconds.get((shadow, expected), ())
        return type(expected) is type(found) and expected == found

    def run(self):
        with open(EXAMPLES, encoding="utf-8") as file:
            examples = json.load(file)
        check(len(examples) == 37, f"{len(examples)} examples are in the file; 38 and 39 are below")
        steps = 0
        for example in examples:
            shadow = example["steps"][0]["topic"].rsplit("/", 1)[0]
            for payload in example["before"]:
                self.step(shadow + "/update", payload, START)
            for step in example["steps"]:
                found = self.step(step["topic"], step["payload"], step["t"])
                expected = [(m["topic"], m["payload"]) for m in step["messages"]]
                check([topic for topic, _ in found] == [topic for topic, _ in expected] and
                      all(self.same(shadow, want[1], have[1]) for want, have in zip(expected, found)),
                      f"example {example['number']}\n    said     {found}\n    expected {expected}")
                steps += 1
        check(steps > 50, f"{steps} steps were made")
        self.eleven_at_once()
        self.two_clients()

    def eleven_at_once(self):
        """Example 38: they are in one segment, so none can be answered before the last is read."""
        update = base_of("busy") + "update"
        packets = [raw.publish(update, json.dumps({"state": {"reported": {"n": n}}}).encode(), 1, 100 + n,
                               self.client.version) for n in range(10)]
        packets.append(raw.publish(base_of("busy") + "get", b'{"clientToken":"g11"}', 1, 110, self.client.version))
        self.client.send(b"".join(packets))
        for _ in packets:
            self.client.expect(raw.PUBACK)
        self.client.publish("end", "")
        heard = {}
        while (message := self.watcher.message()).topic != "end":
            heard.setdefault(message.topic, []).append(json.loads(message.payload))
        refused = heard.get(base_of("busy") + "get/rejected", [{}])[0]
        check(refused.pop("timestamp", 0) > START and
              refused == {"code": 429, "message": "Too many requests", "clientToken": "g11"}, f"example 38: {heard}")
        check([d["version"] for d in heard[update + "/accepted"]] == list(range(1, 11)), "ten were accepted, in order")

    def two_clients(self):
        """Example 39."""
        base = base_of("shared")
        for n in range(4):
            self.step(base + "update", json.dumps({"state": {"reported": {"v": n}}}), START)
        with self.gw.client("A") as device, self.gw.client("B") as app, self.gw.client("C") as auditor:
            device.subscribe(base + "update/delta")
            app.subscribe(base + "update/accepted", base + "update/rejected")
            auditor.subscribe(base + "update/documents")
            app.publish(base + "update", '{"state":{"desired":{"v":2}},"clientToken":"B1"}')
            device.publish(base + "update", '{"state":{"reported":{"v":2}},"clientToken":"A1"}')
            delta = json.loads(device.message().payload)
            check((delta["version"], delta["state"], delta["clientToken"]) == (5, {"v": 2}, "B1"), f"example 39: {delta}")
            documents = [json.loads(auditor.message().payload) for _ in range(2)]
            check([(d["previous"]["version"], d["current"]["version"], d["clientToken"]) for d in documents] ==
                  [(4, 5, "B1"), (5, 6, "A1")], f"example 39: {documents}")
            accepted = [json.loads(app.message().payload) for _ in range(2)]
            check([(d["version"], d["state"], d["clientToken"]) for d in accepted] ==
                  [(5, {"desired": {"v": 2}}, "B1"), (6, {"reported": {"v": 2}}, "A1")], f"example 39: {accepted}")
            device.ping()
            check(not device.messages, "desired and reported agree: there is no second delta")


def examples(build):
    for version in (4, 5):
        with gateway.Gateway(build) as gw:
            Examples(gw, version).run()


# ---- history, on the command line -------------------------------------------------------------------------------------


def history(build):
    with gateway.Gateway(build, "[shadow]\nhistory-count = 5\n") as gw:
        base = base_of("press-7", "firmware")
        named = ("press-7", "--name", "firmware")
        with gw.client("press-7") as device, gw.client("app-7") as app:
            device.publish(base + "update", '{"state":{"reported":{"rpm":900,"net":{"ip":"10.0.0.7"}}}}')
            app.publish(base + "update", '{"state":{"desired":{"rpm":950}}}')
            device.publish(base + "update", '{"state":{"reported":{"rpm":950}}}')
        changes = gw.ask("shadow", "log", *named)["changes"]
        check([(c["version"], c["by"]) for c in changes] == [(3, "press-7"), (2, "app-7"), (1, "press-7")], f"{changes}")
        check(changes[0]["was"] == {"reported": {"rpm": 900}} and changes[0]["now"] == {"reported": {"rpm": 950}}, "patches")
        check(changes[2]["was"] is None, "before the first version there was none")
        text = gw.cli("shadow", "log", *named)
        check("by app-7\n    desired.rpm: (none) -> 950\n" in text, f"for people: {text}")
        check(len(gw.ask("shadow", "log", *named, "-n", "1")["changes"]) == 1, "as many as were asked for")

        first = {"reported": {"rpm": 900, "net": {"ip": "10.0.0.7"}}}
        check(gw.ask("shadow", "at", *named, "1")["state"] == first, "a version as it was")
        check('"ip": "10.0.0.7"' in gw.cli("shadow", "at", *named, "1"), "and for people")
        found = gw.ask("shadow", "diff", *named, "1", "3")
        check((found["was"], found["now"]) == ({"reported": {"rpm": 900}, "desired": None},
                                               {"reported": {"rpm": 950}, "desired": {"rpm": 950}}), f"{found}")
        check("reported.rpm: 900 -> 950" in gw.cli("shadow", "diff", *named, "1", "3"), "and for people")
        blamed = {v["path"]: (v["version"], v["by"]) for v in gw.ask("shadow", "blame", *named)["values"]}
        check(blamed == {"/reported/rpm": (3, "press-7"), "/reported/net/ip": (1, "press-7"),
                         "/desired/rpm": (2, "app-7")}, f"{blamed}")
        check(gw.cli("shadow", "blame", *named, "reported.net").startswith('/reported/net/ip = "10.0.0.7"\n'), "one path")

        with gw.client("listener") as listener:
            listener.subscribe(base + "update/+")
            check("version 4" in gw.cli("shadow", "revert", *named, "1"), "a revert is a new version")
            heard = [listener.message() for _ in range(2)]
            check([m.topic.rsplit("/", 1)[1] for m in heard] == ["documents", "accepted"], "told like any update")
        check(gw.ask("shadow", "get", *named)["state"] == first, "it is as it was")
        check(gw.ask("shadow", "diff", *named, "1", "4")["now"] == {}, "there is no difference")
        check("deleted" in gw.cli("shadow", "delete", *named), "deleted")
        check(gw.ask("shadow", "log", *named)["changes"][0]["deleted"] is True, "a deletion is a change")
        check("400" in refusal(gw, "shadow", "revert", *named, "5"), "there is nothing to go back to in it")
        check(gw.ask("shadow", "revert", *named, "4")["version"] == 6, "but to what was before it")

        gw.restart()
        log = gw.ask("shadow", "log", *named)
        check([c["version"] for c in log["changes"]] == [6, 5, 4, 3, 2] and not log["more"], f"five are kept: {log}")
        check_past(gw, "press-7", "firmware", 5)
        for words in (("at", *named, "1"), ("at", *named, "7"), ("log", "press-7"), ("blame", *named, "desired.no")):
            if words[:2] == ("at", named[0]) and words[-1] == "1":
                check(gw.ask("shadow", *words)["state"] == first, "the one before the oldest change is known from it")
            else:
                check("404" in refusal(gw, "shadow", *words), f"{words}: there is no such thing")
        check(gw.cli("shadow", "list", "press-7") == "firmware\n", "named shadows are listed")


def refusal(gw, *words):
    """What a command said that was refused, with --json."""
    done = subprocess.run([gw.programs["gatehouse"], "--runtime", gw.runtime, "--json", *words], capture_output=True,
                          text=True, timeout=gateway.LONG, check=False)
    check(done.returncode == 1, f"{words}: status {done.returncode}")
    return done.stdout + done.stderr


def watch(build):
    with gateway.Gateway(build) as gw, gw.client("pump") as pump:
        command = [gw.programs["gatehouse"], "--runtime", gw.runtime, "shadow", "watch", "pump", "-n", "3"]
        before = gw.ctl("gateway/status")["bus"]["subscriptions"]
        watchers = [subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True) for more in ((), ("--json",))]
        gateway.wait_for(lambda: gw.ctl("gateway/status")["bus"]["subscriptions"] == before + 4, "both watch two topics")
        pump.publish(base_of("pump") + "update", '{"state":{"reported":{"n":1}}}')
        check(watchers[0].stdout.readline().startswith("1  "), "a change is shown when it happens")
        pump.publish(base_of("pump") + "update", '{"state":{"reported":{"n":null,"on":true}}}')
        pump.publish(base_of("pump") + "delete", "")
        text, documents = (watcher.communicate(timeout=gateway.LONG)[0] for watcher in watchers)
        check([watcher.returncode for watcher in watchers] == [0, 0], "they end after three")
        check("    reported.n: 1 -> (none)\n    reported.on: (none) -> true\n3  " in text and
              text.endswith("  deleted\n"), f"for people: {text}")
        found = [json.loads(line) for line in documents.splitlines()]
        check([d["current"]["version"] for d in found[:2]] == [1, 2], f"for programs: {found}")
        check(found[2]["deleted"] is True and found[2]["version"] == 3, f"and a deletion: {found}")


# ---- kill -9 ----------------------------------------------------------------------------------------------------------


class Drill:
    def __init__(self, gw, rng):
        self.gw, self.rng = gw, rng
        self.shadows = [ChangingShadow(f"thing-{k}", (None, "cfg")[k % 2], (4, 5)[k % 3 == 0]) for k in range(6)]
        self.kills = self.early = self.late = 0

    def audit(self):
        for shadow in self.shadows:
            shadow.audit(self.gw, KEPT, self.rng)

    def life(self):
        """One life of the daemon, of random length: some end during the start, some during the stop."""
        if self.rng.random() < 0.1:
            self.early += 1
            self.gw.launch()
            time.sleep(self.rng.uniform(0, 0.05))
        else:
            self.gw.start()
            self.audit()
            self.work(self.rng.uniform(0.005, 0.3))
            if self.rng.random() < 0.1:
                self.late += 1
                self.gw.process.send_signal(signal.SIGTERM)
                time.sleep(self.rng.uniform(0, 0.02))
        self.gw.kill()
        for shadow in self.shadows:
            shadow.detach()
        self.kills += 1
        if self.kills % 10 == 0:
            self.look_into_database()

    def work(self, seconds):
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for shadow in self.shadows:
                shadow.attach(self.gw.port())
                selector.register(shadow.socket, selectors.EVENT_READ, shadow)
            while (left := end - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    check(key.data.on_readable(), f"{key.data.name}: the daemon closes the connection")

    def look_into_database(self):
        """As the dead daemon left it. A copy: opening it would tidy up behind the daemon."""
        with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
            for name in ("state.db", "state.db-wal"):
                if os.path.exists(path := os.path.join(self.gw.state, name)):
                    shutil.copy(path, folder)
            database = sqlite3.connect(os.path.join(folder, "state.db"))
            check(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is whole")
            check(database.execute("PRAGMA foreign_key_check").fetchall() == [], "no record without its shadow")
            database.close()

    def run(self, kills):
        while self.kills < kills:
            self.life()
        self.gw.start()
        self.audit()
        check(self.gw.stop() == 0, "the daemon stops with status 0")
        versions = sum(max(shadow.states) for shadow in self.shadows)
        check(versions > 20 * kills, f"there was something to lose: {versions} versions")
        print(f"          {self.kills} kills, {self.early} of them during the start, {self.late} during the stop; "
              f"{sum(shadow.acked for shadow in self.shadows)} updates acknowledged, {versions} versions")


def kill(build, kills, seed):
    with stopped(build, f"[shadow]\nhistory-count = {KEPT}\nhistory-size = 8M\n") as gw:
        Drill(gw, random.Random(seed)).run(kills)


# ---- a full disk ------------------------------------------------------------------------------------------------------


class FullDisk:
    things = [f"thing-{k}" for k in range(40)]

    def __init__(self, gw, mount):
        self.gw, self.mount = gw, mount
        self.accepted = {}  # thing: version and number
        self.client = None

    def connect(self):
        self.client = self.gw.client("app", version=5)
        self.client.subscribe("$aws/things/+/shadow/+/accepted", "$aws/things/+/shadow/+/rejected")

    def update(self, thing, number):
        """Is it accepted? A refusal is the gateway's fault and says so; what was kept stays."""
        filler = {f"k{number % 20}": "x" * 300}
        word, answer = request(self.client, base_of(thing), "update", {"state": {"reported": {"n": number, **filler}}})
        if word == "accepted":
            self.accepted[thing] = answer["version"], number
            return True
        check(answer["code"] == 500 and answer["message"] == "Internal service failure" and answer["timestamp"] > START,
              f"a refusal in AWS IoT's words: {answer}")
        return False

    def until_refused(self):
        row = 0
        for number in range(2, 2000):
            row = 0 if self.update(self.things[number % len(self.things)], number) else row + 1
            if row == len(self.things):
                return
            if number % 20 == 0:
                fill(self.mount)
        raise AssertionError("updates are still accepted when there is no room")

    def all_readable(self):
        for thing, (version, number) in self.accepted.items():
            word, answer = request(self.client, base_of(thing), "get", {})
            check(word == "accepted" and answer["version"] == version and answer["state"]["reported"]["n"] == number,
                  f"{thing}: version {version}, n={number} was accepted last, now {answer}")
            states = states_of(self.gw, thing)
            check(states[version]["reported"]["n"] == number and len(states) == version + 1,
                  f"{thing}: its history ends with what was accepted: {states}")

    def run(self):
        self.connect()
        for thing in self.things:
            check(self.update(thing, 1), "updates are accepted while there is room")
        give_back = fill(self.mount)
        self.until_refused()
        word, answer = request(self.client, base_of(self.things[0]), "delete", {})
        check(word == "rejected" and answer["code"] == 500, f"nor can one be deleted: {answer}")
        check(not self.update("a-new-one", 1), "nor made")
        check("500" in refusal(self.gw, "shadow", "revert", self.things[0], "1"), "nor reverted")
        self.all_readable()
        gateway.wait_for(lambda: self.gw.logged("No space left|disk is full|full"), "the log says why")
        give_back()
        check(self.update("a-new-one", 1), "it works again when there is room")
        for thing in self.things:
            check(self.update(thing, 5000), "and for all")
        self.all_readable()

        give_back = fill(self.mount)
        self.until_refused()
        self.gw.kill()
        give_back()
        self.gw.start()
        self.connect()
        self.all_readable()
        check(self.update("a-new-one", 2) and self.gw.stop() == 0, "so it is after a kill in that state")


def full_disk(build, folder):
    with stopped(build, folder=folder) as gw:
        os.mkdir(gw.state)
        with Mount(gw.state, "size=3m") as mount:
            gw.prefix = mount.prefix
            gw.start()
            try:
                FullDisk(gw, mount).run()
            finally:
                if gw.is_running():
                    gw.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--only", metavar="WORD", help="tests with this word in their sentence")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        for test in (
                ("the worked examples come out as written, over MQTT 3.1.1 and 5", examples, suite.build),
                ("the past can be asked for, and gone back to", history, suite.build),
                ("changes are shown while they happen", watch, suite.build),
                ("the daemon is killed again and again: no version is missing, none changes, the past is whole", kill,
                 suite.build, options.kills, options.seed),
                ("a full disk: updates are refused with a reason, everything can be read", full_disk, suite.build, folder)):
            if not options.only or options.only in test[0]:
                suite.run(*test)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
