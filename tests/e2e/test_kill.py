#!/usr/bin/python3
"""Acknowledged means kept: the daemon is killed again and again while clients publish, and nothing it promised is missing.

    tests/e2e/test_kill.py BUILD [--kills N] [--seconds N] [--seed N]

Clients number what they publish, keep a window of it under way, and after a kill begin again with the oldest message that
was not acknowledged, as a client of MQTT does. Each kill comes at a random moment of a random short life, some while the
daemon is still starting, some while it is stopping. What is looked at:

    stream      every number up to the last acknowledged one is there, in order; one may come twice, none is left out
    cloud       the same of a stream that is exported to a Mosquitto all the while
    shadow      after every start the version and the state are at least those acknowledged, and a version never comes
                twice with different states; now and then, and in the end, SQLite itself is asked
    books       after every start those of every stream balance (stream/verify): also of one that overwrites and of one that is
                synced later than it acknowledges, which loses nothing when only the daemon dies
    retained    after every start the last acknowledged message of a topic, or one sent after it
"""
import argparse
import json
import os
import random
import selectors
import shutil
import signal
import sqlite3
import tempfile
import time

import gateway
import raw
import seglog
from drill import Publisher, Sequence, number_of, payload_of
from gateway import check

CONFIG = """
[uplink cloud]
uri = mqtt://127.0.0.1:{port}
[stream kept]
segment-size = 256K
[stream exported]
uplink = cloud
segment-size = 64K
[stream wrap]
segment-size = 64K
max-size = 1M
on-full = overwrite
[stream late]
segment-size = 64K
sync = 1s
[route kept]
filter = kept/#
stream = kept
[route wrap]
filter = kept/#
stream = wrap
[route late]
filter = late/#
stream = late
[route exported]
filter = exported/#
stream = exported
"""


class Retainer(Publisher):
    """Retained messages, over and over on a few topics."""

    window = 8
    topics = 5

    def message(self, number):
        return f"{self.name}/{number % self.topics}", payload_of(number)

    def retain(self):
        return True


class Shadow(Publisher):
    """Updates of one shadow; what was accepted is heard, too."""

    window = 6

    def __init__(self, name, version, qos):
        super().__init__(name, version, qos)
        self.base = f"$aws/things/{name}/shadow/"
        self.states = {}  # version: the number in it
        self.version_acked = 0

    def message(self, number):
        return self.base + "update", json.dumps(
            {"state": {"reported": {"n": number, f"k{number % 7}": "x" * (number % 50)}}}).encode()

    def greeting(self):
        return raw.subscribe(1, [(self.base + "update/accepted", 0), (self.base + "update/rejected", 0)], self.version)

    def on_message(self, message):
        document = json.loads(message.payload)
        check(message.topic.endswith("accepted"), f"{self.name}: an update is rejected: {document}")
        self.learn(document["version"], document["state"]["reported"]["n"])

    def learn(self, version, number):
        known = self.states.setdefault(version, number)
        check(known == number, f"{self.name}: version {version} was n={known} before, and is n={number} now")
        self.version_acked = max(self.version_acked, version)


# ---- the drill --------------------------------------------------------------------------------------------------------


class Drill:
    def __init__(self, gw, cloud, rng):
        self.gw, self.rng = gw, rng
        self.kept = [Publisher("kept/a", 4, 1), Publisher("kept/b", 5, 1), Publisher("kept/c", 4, 2)]
        self.exported = [Publisher("exported/a", 4, 1)]
        self.exported[0].window = 4
        self.later = [Publisher("late/a", 5, 1)]
        self.shadows = [Shadow("pump", 4, 1), Shadow("valve", 5, 1)]
        self.retainers = [Retainer("state/a", 5, 1)]
        self.everybody = self.kept + self.exported + self.later + self.shadows + self.retainers
        self.cloud = gateway.Ear(cloud.port, "exported/#", name="cloud-ear")
        self.at_cloud = Sequence()
        self.kills = self.early = self.late = 0

    def life(self):
        """One life of the daemon, of random length."""
        if self.rng.random() < 0.1:
            self.early += 1
            self.gw.launch()
            time.sleep(self.rng.uniform(0, 0.05))
        else:
            self.gw.start()
            self.audit()
            with selectors.DefaultSelector() as selector:
                for publisher in self.everybody:
                    publisher.attach(self.gw.port())
                    selector.register(publisher.socket, selectors.EVENT_READ, publisher)
                self.turn(selector, time.monotonic() + self.length())
            if self.rng.random() < 0.1:
                self.late += 1
                self.gw.process.send_signal(signal.SIGTERM)
                time.sleep(self.rng.uniform(0, 0.02))
        self.gw.kill()
        for publisher in self.everybody:
            publisher.detach()
        self.kills += 1
        if self.kills % 10 == 0:
            self.look_into_database()

    def length(self):
        """Mostly short; sometimes long enough for what is done once a second, like storing how far a stream is exported."""
        return self.rng.uniform(1, 1.4) if self.kills % 25 == 24 else self.rng.uniform(0.005, 0.25)

    def turn(self, selector, end):
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                check(key.data.on_readable(), f"{key.data.name}: the daemon closes the connection")

    def audit(self):
        """What the daemon says that it has, right after its start."""
        with self.gw.client("auditor") as auditor:
            for shadow in self.shadows:
                self.audit_shadow(auditor, shadow)
            auditor.subscribe("state/#", qos=0)
            auditor.ping()  # they have all come
            for publisher in self.retainers:
                self.audit_retained(publisher, {m.topic: m.payload for m in auditor.messages})

        self.audit_books()

    def audit_books(self):
        answer = self.gw.ctl("stream/verify")
        faults = [stream["fault"] for stream in answer["streams"] if stream["fault"]]
        check(answer["balanced"] is True and len(answer["streams"]) == 4 and not faults, f"the books balance: {faults}")

    def audit_shadow(self, auditor, shadow):
        auditor.subscribe(shadow.base + "get/+", qos=0)
        auditor.publish(shadow.base + "get", b"")
        answer = auditor.message()
        document = json.loads(answer.payload)
        if answer.topic.endswith("/rejected"):
            check(document["code"] == 404 and shadow.acked == 0, f"{shadow.name}: is not there: {document}")
            return
        version, number = document["version"], document["state"]["reported"]["n"]
        check(version >= shadow.version_acked, f"{shadow.name}: version {shadow.version_acked} went back to {version}")
        check(shadow.acked <= number <= shadow.highest, f"{shadow.name}: n={shadow.acked} went back to n={number}")
        shadow.learn(version, number)

    def audit_retained(self, publisher, found):
        for k in range(publisher.topics):
            topic = f"{publisher.name}/{k}"
            acked = max((n for n in range(max(1, publisher.acked - publisher.topics + 1), publisher.acked + 1)
                         if n % publisher.topics == k), default=0)
            number = number_of(topic, found[topic]) if topic in found else 0
            check(acked <= number <= publisher.highest, f"{topic}: {acked} was acknowledged, {number} is retained")

    # ---- afterwards ----

    def all_late(self):
        found = Sequence()
        for _, topic, payload in seglog.read(os.path.join(self.gw.state, "streams", "late")):
            found.take(topic, payload)
        check(found.complete(self.later[0]), f"{self.later[0].acked} acknowledged, {found.highest} in the stream")
        folder = os.path.join(self.gw.state, "streams", "wrap")
        wrap = [number for number, _, _ in seglog.read(folder)]
        check(all(b > a and seglog.follows(folder, a, b) for a, b in zip(wrap, wrap[1:])), "a stream that overwrites has no gap")
        print(f"          {self.later[0].acked} acknowledged; the other has {len(wrap)} records from {wrap[0] if wrap else 0} on")

    def all_kept(self):
        found = Sequence()
        last = -1
        folder = os.path.join(self.gw.state, "streams", "kept")
        for number, topic, payload in seglog.read(folder):
            check(number > last and seglog.follows(folder, last, number), f"stream kept: record {last} is followed by {number}")
            last = number
            found.take(topic, payload)
        for publisher in self.kept:
            check(publisher.acked > 0, f"{publisher.name}: something was acknowledged")
            check(found.complete(publisher), f"{publisher.name}: {publisher.acked} acknowledged, "
                  f"{found.highest.get(publisher.name, 0)} in the stream, {publisher.highest} sent")
        print(f"          {sum(p.acked for p in self.kept)} acknowledged, {found.count} records")

    def all_exported(self):
        self.gw.start()
        try:
            gateway.wait_for(self.is_drained, "what is in the stream arrives at the cloud")
        finally:
            self.gw.kill()
        print(f"          {self.exported[0].acked} acknowledged, {self.at_cloud.count} arrivals")

    def hear_cloud(self):
        while self.cloud.heard:
            message = self.cloud.heard.popleft()
            self.at_cloud.take(message.topic, message.payload)

    def is_drained(self):
        self.hear_cloud()
        return all(self.at_cloud.complete(publisher) for publisher in self.exported)

    def all_shadows(self):
        self.gw.start()
        self.audit()
        self.gw.kill()
        for shadow, version in zip(self.shadows, self.look_into_database()):
            print(f"          {shadow.name}: {shadow.acked} updates acknowledged, version {version}")

    def look_into_database(self):
        """As the dead daemon left it. A copy: opening it would tidy up behind the daemon. The versions found."""
        with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
            for name in ("state.db", "state.db-wal"):
                if os.path.exists(path := os.path.join(self.gw.state, name)):
                    shutil.copy(path, folder)
            database = sqlite3.connect(os.path.join(folder, "state.db"))
            check(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is whole")
            versions = [self.version_in(database, shadow) for shadow in self.shadows]
            database.close()
        return versions

    @staticmethod
    def version_in(database, shadow):
        rows = database.execute("SELECT version, state FROM shadow WHERE thing = ? AND name = ''", (shadow.name,)).fetchall()
        version, state = rows[0] if rows else (0, '{"reported":{"n":0}}')
        number = json.loads(state)["reported"]["n"]
        check(version >= shadow.version_acked and shadow.acked <= number <= shadow.highest,
              f"{shadow.name}: version {shadow.version_acked} with n={shadow.acked} was acknowledged, version {version} "
              f"with n={number} is in SQLite")
        return version

    def all_retained(self):
        self.gw.start()
        self.audit()
        check(self.gw.stop() == 0, "the daemon stops with status 0")
        print(f"          {self.retainers[0].acked} acknowledged")


def campaign(drill, kills, seconds):
    end = time.monotonic() + seconds if seconds else None
    while drill.kills < kills or (end and time.monotonic() < end):
        drill.life()
        drill.hear_cloud()
    print(f"          {drill.kills} kills, {drill.early} of them during the start, {drill.late} during the stop")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0, help="go on for so long, at least")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        cloud = gateway.Cloud(folder)
        gw = gateway.Gateway(options.build, CONFIG.format(port=cloud.port), folder=folder)
        drill = Drill(gw, cloud, random.Random(options.seed))
        try:
            if suite.run("the daemon is killed again and again, and always has what it had acknowledged", campaign,
                         drill, options.kills, options.seconds):
                suite.run("every acknowledged message is in the stream, in order, without a gap", drill.all_kept)
                suite.run("so it is in one that is synced later", drill.all_late)
                suite.run("every acknowledged message of an exported stream is at the cloud", drill.all_exported)
                suite.run("every acknowledged shadow version is in SQLite", drill.all_shadows)
                suite.run("every acknowledged retained message is there", drill.all_retained)
            if suite.failed:
                gw.show_log()
        finally:
            drill.cloud.end()
            gw.end()
            cloud.end()
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
