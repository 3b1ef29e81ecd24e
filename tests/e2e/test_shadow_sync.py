#!/usr/bin/python3
"""Shadows that are kept equal with a cloud's: a second gatehoused is the cloud, and the link between them is cut, restored, and
loses both ends to kill -9.

    tests/e2e/test_shadow_sync.py BUILD [--kills N]

A writer here counts in `reported`, one at the cloud in `desired`, which nobody else writes: whatever happens, both documents end
with the last number that was acknowledged to each of them, or a later one.
"""
import argparse
import json
import random
import tempfile
import threading
import time

import gateway
import raw
from gateway import check, wait_for

CONFIG = """shadow = no
[uplink cloud]
uri = mqtt://127.0.0.1:{port}
client-id = plant
[sync plant]
uplink = cloud
shadow = + +/cfg
policy = reported.total: max
    reported.tags: union
rate = 6000
burst = 1000
every = 5s
[sync slow]
uplink = cloud
shadow = slow/flapping
rate = 60
burst = 5
"""


class Link(gateway.Proxy):
    """Can be cut: connections break, and new ones find nobody."""

    def cut(self):
        self.real, self.target = self.target, gateway.free_port()
        for end in [end for pair in list(self.pairs) for end in pair if end]:
            gateway.cut(end)

    def restore(self):
        self.target = self.real


class Scene:
    def __init__(self, build):
        self.port = gateway.free_port()
        self.cloud = gateway.Gateway(build, "shadow = no\n", listen=(f"mqtt://127.0.0.1:{self.port}?access=open",))
        self.link = Link(self.port)
        self.here = gateway.Gateway(build, CONFIG.format(port=self.link.port))

    def __enter__(self):
        self.cloud.start()
        self.here.start()
        return self

    def __exit__(self, kind, _error, _trace):
        if kind:
            self.here.show_log()
        self.here.end()
        self.cloud.end()
        self.link.end()

    def section(self, name="plant"):
        return next(s for s in self.here.ctl("sync/list")["syncs"] if s["name"] == name)

    def connected(self):
        wait_for(lambda: self.section()["connected"], "the uplink is up and listens")

    def disconnected(self):
        wait_for(lambda: not self.section()["connected"], "the gateway notices that the cloud is away")


def topic(shadow, verb):
    thing, _, name = shadow.partition("/")
    return f"$aws/things/{thing}/shadow/{'name/' + name + '/' if name else ''}{verb}"


def update(gw, shadow, state):
    with gw.client() as client:
        client.publish(topic(shadow, "update"), json.dumps({"state": state}).encode())


def delete(gw, shadow):
    with gw.client() as client:
        client.publish(topic(shadow, "delete"), b"")


def state(gw, shadow):
    """None: there is no document."""
    with gw.client() as client:
        client.subscribe(topic(shadow, "get/+"))
        client.publish(topic(shadow, "get"), b"")
        answer = client.message()
        if answer.topic.endswith("rejected"):
            return None
        found = json.loads(answer.payload)["state"]
        found.pop("delta", None)
        return found


def becomes(scene, shadow, expected):
    for name, gw in (("here", scene.here), ("at the cloud", scene.cloud)):
        last = []

        def is_so(gw=gw, last=last):
            last[:] = [state(gw, shadow)]
            return last[0] == expected

        try:
            wait_for(is_so, f"{shadow} {name} becomes {expected}", pause=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last[0]}; {scene.here.ctl('sync/list')}") from error


# ---- one after the other ----------------------------------------------------------------------------------------------


def both_directions(scene):
    scene.connected()
    update(scene.here, "pump", {"reported": {"rpm": 900, "total": 1, "tags": ["a"]}})
    update(scene.cloud, "pump", {"desired": {"rpm": 1000}})
    becomes(scene, "pump", {"desired": {"rpm": 1000}, "reported": {"rpm": 900, "total": 1, "tags": ["a"]}})
    update(scene.cloud, "valve/cfg", {"desired": {"open": True}})
    becomes(scene, "valve/cfg", {"desired": {"open": True}})
    update(scene.here, "valve/other", {"reported": {"x": 1}})
    update(scene.here, "valve/cfg", {"reported": {"open": True}})
    becomes(scene, "valve/cfg", {"desired": {"open": True}, "reported": {"open": True}})
    check(state(scene.cloud, "valve/other") is None, "what no section names stays here")


def a_cut_link(scene):
    scene.link.cut()
    scene.disconnected()
    update(scene.here, "pump", {"desired": {"rpm": 1}, "reported": {"rpm": 950, "total": 7, "tags": ["a", "here"]}})
    update(scene.cloud, "pump", {"desired": {"rpm": 1200}, "reported": {"rpm": 0, "total": 5, "tags": ["there"]}})
    delete(scene.cloud, "valve/cfg")
    scene.link.restore()
    becomes(scene, "pump", {"desired": {"rpm": 1200}, "reported": {"rpm": 950, "total": 7, "tags": ["here", "there"]}})
    becomes(scene, "valve/cfg", None)


def it_is_explained(scene):
    wait_for(lambda: scene.section()["behind"] == 0, "all is equal")
    told = scene.here.ask("shadow", "sync", "pump")["shadows"]
    check(len(told) == 1 and told[0]["state"] == "equal" and told[0]["name"] is None, f"pump is equal: {told}")
    choices = {c["path"]: c for c in told[0]["merge"]["choices"]}
    for path, source, rule in (("desired.rpm", "cloud", "cloud"), ("reported.rpm", "local", "local"),
                               ("reported.total", "local", "max"), ("reported.tags", "both", "union")):
        check(choices[path] == {"path": path, "from": source, "why": "rule", "rule": rule}, f"{path}: {choices}")
    table = scene.here.cli("shadow", "sync", "pump")
    check("pump, merged last:" in table and "reported.total" in table, f"and told as a table: {table}")
    table = scene.here.cli("shadow", "sync")
    check("plant" in table and "slow" in table, f"sections are listed: {table}")
    check(scene.section()["conflicts"] >= 4, "conflicts are counted")
    scene.here.cli("shadow", "sync", "nobody", status=1)


def what_flaps_is_bounded(scene):
    before, begin = scene.section("slow")["messages"], time.monotonic()
    with scene.here.client() as client:
        for i in range(400):
            client.publish(topic("slow/flapping", "update"), json.dumps({"state": {"reported": {"n": i}}}).encode())
    becomes(scene, "slow/flapping", {"reported": {"n": 399}})
    seconds = time.monotonic() - begin
    messages = scene.section("slow")["messages"] - before
    check(messages <= 5 + seconds + 1, f"{messages} messages in {seconds:.0f} s")


OWN = """
[uplink cloud]
uri = mqtt://127.0.0.1:{port}
[uplink nowhere]
uri = mqtt://127.0.0.1:{nowhere}
[stream telemetry]
[sync own]
uplink = cloud
shadow = test/gatehouse
direction = up
"""


def the_gateways_own(build):
    """The cloud sees how the gateway is, its certificate included, which is good for a day."""
    port = gateway.free_port()
    with tempfile.TemporaryDirectory() as folder, \
            gateway.Gateway(build, "shadow = no\n", listen=(f"mqtt://127.0.0.1:{port}?access=open",)) as cloud, \
            gateway.Gateway(build, OWN.format(port=port, nowhere=gateway.free_port()),
                            listen=(gateway.OPEN, gateway.Certificates(folder).door())) as here:
        reported = wait_for(lambda: (state(cloud, "test/gatehouse") or {}).get("reported"), "the cloud has it", pause=0.2)
        check(reported["health"] == "warning" and reported["version"], f"it is as it is: {reported}")
        check([s["name"] for s in reported["streams"]] == ["telemetry"], f"its streams: {reported}")
        check({u["name"] for u in reported["uplinks"]} == {"cloud", "nowhere"}, f"its uplinks: {reported}")
        check(any("expires in 0 days" in p for p in reported["problems"]), f"its certificate: {reported}")
        left = here.ctl("broker/status")["certificates"][0]["expires"] - time.time()
        check(0 < left <= 86400, f"which ends in {left:.0f} s")


# ---- kill -9 ----------------------------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Counts in one field of a shadow; connects again when it must."""

    def __init__(self, gw, shadow, section, field):
        super().__init__(daemon=True)
        self.gw, self.shadow, self.section, self.field = gw, shadow, section, field
        self.number = self.acked = 0
        self.ended = False
        self.start()

    def run(self):
        while not self.ended:
            try:
                with self.gw.client() as client:
                    self.write(client)
            except (raw.Closed, raw.Timeout, OSError, AssertionError):
                time.sleep(0.02)

    def write(self, client):
        while not self.ended:
            self.number += 1
            number = self.number
            client.publish(topic(self.shadow, "update"),
                           json.dumps({"state": {self.section: {self.field: number}}}).encode())
            self.acked = number
            time.sleep(0.005)

    def end(self):
        self.ended = True
        self.join(gateway.LONG)


def kills(scene, victim, count, dice):
    """The victim dies again and again while both sides write."""
    writers = [Writer(scene.here, "load", "reported", "here"), Writer(scene.cloud, "load", "desired", "there")]
    for _ in range(count):
        begun = [w.acked for w in writers]
        wait_for(lambda b=begun: all(w.acked > n for w, n in zip(writers, b)), "both write")
        time.sleep(dice.uniform(0, 0.3))
        victim.restart()
    for writer in writers:
        writer.end()
    acked = {"here": writers[0].acked, "there": writers[1].acked}
    last = {}

    def is_equal():
        last["here"], last["cloud"] = state(scene.here, "load"), state(scene.cloud, "load")
        return last["here"] and last["here"] == last["cloud"] and scene.section()["behind"] == 0

    wait_for(is_equal, f"both sides are equal: {last}", pause=0.2)
    found = {"here": last["here"]["reported"]["here"], "there": last["here"]["desired"]["there"]}
    for name, number in found.items():
        check(number >= acked[name], f"{name}: {number} after {acked[name]} was acknowledged")
    return acked


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("build")
    options.add_argument("--kills", type=int, default=4, help="of each side")
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    chosen = options.parse_args()
    suite = gateway.Suite(chosen.build)
    print(f"seed {chosen.seed}")
    with Scene(suite.build) as scene:
        suite.run("changes go both ways", both_directions, scene)
        suite.run("what both sides did while the link was cut is decided by the policy", a_cut_link, scene)
        suite.run("each merge is explained", it_is_explained, scene)
        suite.run("a value that flaps costs no more than the bucket, and the last one arrives", what_flaps_is_bounded, scene)
        suite.run("the gateway's own shadow is at the cloud", the_gateways_own, suite.build)
        dice = random.Random(chosen.seed)
        suite.run("the gateway dies again and again: nothing acknowledged is missing on either side", kills, scene, scene.here,
                  chosen.kills, dice)
        suite.run("so does the cloud", kills, scene, scene.cloud, chosen.kills, dice)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
