#!/usr/bin/python3
"""The link goes and comes: the cloud is away for a while under load, and nothing acknowledged is missing there afterwards.

    tests/e2e/test_link.py BUILD [--rounds N]

Three streams of different priority share an uplink to a Mosquitto that is stopped and started; a fourth has an uplink
through a proxy that stops carrying anything without closing a connection, which only a missed keep-alive can tell. While
the cloud is away the daemon is killed once, too. A round takes about 15 s, most of it the keep-alive of the silent uplink.
"""
import argparse
import tempfile

import gateway
from drill import Load, Publisher, Sequence
from gateway import check, wait_for

CONFIG = """
[uplink cloud]
uri = mqtt://127.0.0.1:{cloud}
client-id = near
[uplink far]
uri = mqtt://127.0.0.1:{proxy}
client-id = far
keepalive = 5s

[stream alarms]
uplink = cloud
priority = 1
[stream telemetry]
uplink = cloud
priority = 5
[stream bulk]
uplink = cloud
priority = 9
[stream remote]
uplink = far

[route alarms]
filter = alarm/#
stream = alarms
topic = plant/${{topic}}
[route telemetry]
filter = dt/#
stream = telemetry
topic = plant/${{topic}}
[route bulk]
filter = log/#
stream = bulk
topic = plant/${{topic}}
[route remote]
filter = remote/#
stream = remote
topic = plant/${{topic}}
"""
SLOTS = 8  # one record in eight is the lower priorities'
WINDOW = 64  # records under way to an uplink


class Scene:
    def __init__(self, gw, cloud, proxy):
        self.gw, self.cloud, self.proxy = gw, cloud, proxy
        self.alarms = Publisher("alarm/a", 4, 1)
        self.telemetry = Publisher("dt/a", 5, 1)
        self.bulk = Publisher("log/a", 4, 2)
        self.remote = Publisher("remote/a", 4, 1)
        self.everybody = [self.alarms, self.telemetry, self.bulk, self.remote]
        self.ear = gateway.Ear(cloud.port, "plant/#", name="cloud-ear")
        self.arrived = []  # (topic, number)
        self.at_cloud = Sequence()
        self.load = None

    def begin(self):
        self.load = Load(self.gw.port(), self.everybody, [1, 4, 4, 1])

    def hear(self):
        while self.ear.heard:
            message = self.ear.heard.popleft()
            topic = message.topic.removeprefix("plant/")
            self.arrived.append((topic, self.at_cloud.take(topic, message.payload)))

    def has_arrived(self, publisher):
        self.hear()
        return self.at_cloud.complete(publisher)

    def uplink(self, name):
        return next(u for u in self.gw.ctl("uplink/list")["uplinks"] if u["name"] == name)["state"]

    # ---- what is seen ----

    def flows(self):
        wait_for(lambda: self.uplink("cloud") == "up" and self.uplink("far") == "up", "both uplinks are up")
        self.begin()
        for publisher in self.everybody:
            self.load.burst(publisher, 50)
            goal = publisher.acked
            wait_for(lambda p=publisher, n=goal: self.arrival(p) >= n, f"{publisher.name} arrives at the cloud")

    def arrival(self, publisher):
        self.hear()
        return self.at_cloud.highest.get(publisher.name, 0)

    def piles_up(self):
        self.cloud.stop()
        wait_for(lambda: self.uplink("cloud") != "up", "the gateway notices that the cloud is away")
        self.load.burst(self.bulk, 800)
        self.load.burst(self.telemetry, 800)

    def silence_is_noticed(self):
        wait_for(lambda: self.uplink("far") != "up", "the gateway notices that nobody answers")
        self.load.burst(self.remote, 200)

    def survives(self):
        """The low priorities wait already when the high one comes."""
        self.load.stop()
        self.gw.restart()
        self.begin()
        self.load.burst(self.alarms, 560)
        self.load.stop()
        self.hear()
        for stream, publisher in (("alarms", self.alarms), ("telemetry", self.telemetry), ("bulk", self.bulk)):
            pending = self.gw.stream(stream)["pending"]
            check(pending >= publisher.acked - self.arrival(publisher), f"{stream}: {pending} records wait")

    def drains(self):
        """… and the load goes on while it does."""
        mark = len(self.arrived)
        waiting = {p.name: p.acked for p in (self.alarms, self.telemetry, self.bulk)}
        self.begin()
        self.cloud.start()
        for publisher in (self.alarms, self.telemetry, self.bulk):
            wait_for(lambda p=publisher: self.arrival(p) >= waiting[p.name],
                     f"what waited of {publisher.name} is at the cloud")
        self.check_order(self.arrived[mark:], waiting)

    def check_order(self, arrived, waiting):
        order = [topic for topic, _ in arrived]
        done = arrived.index((self.alarms.name, waiting[self.alarms.name])) + 1
        first = order[:done]
        high, low = first.count(self.alarms.name), done - first.count(self.alarms.name)
        check(high > 500, f"{high} alarms waited")
        check(low <= high / (SLOTS - 1) + WINDOW,
              f"the higher priority drains first: {low} others came before the last of {high} alarms")
        check(low >= high / (SLOTS - 1) / 2, f"the lower is not starved: {low} others among {high} alarms")
        longest = max(len(run) for run in "".join("a" if t == self.alarms.name else " " for t in first).split(" "))
        check(longest <= 2 * SLOTS, f"the lower is not starved: {longest} alarms in a row")

        middle = arrived.index((self.telemetry.name, waiting[self.telemetry.name])) + 1
        count = {p.name: order[:middle].count(p.name) for p in (self.alarms, self.telemetry, self.bulk)}
        check(count[self.bulk.name] <= (count[self.telemetry.name] + count[self.alarms.name]) / (SLOTS - 1) + WINDOW,
              f"telemetry drains before what is lower: {count}")
        check(count[self.bulk.name] >= count[self.telemetry.name] / (SLOTS - 1) / 2,
              f"what is lower still is not starved: {count}")
        print(f"          {low} others among {high} alarms; {count}")

    def goes_silent(self):
        self.proxy.mute()
        self.load.burst(self.remote, 300)  # more than fit under way

    def silence_ends(self):
        waiting = self.remote.acked
        self.proxy.speak()
        wait_for(lambda: self.arrival(self.remote) >= waiting, "what waited is at the cloud")

    def cut_on_purpose(self):
        self.gw.ctl("uplink/cut", b'{"name":"cloud"}')
        wait_for(lambda: self.uplink("cloud") != "up", "the uplink is cut")
        self.load.burst(self.alarms, 100)
        check(self.gw.stream("alarms")["pending"] >= 100, "alarms wait")
        self.gw.ctl("uplink/restore", b'{"name":"cloud"}')
        waiting = self.alarms.acked
        wait_for(lambda: self.arrival(self.alarms) >= waiting, "and go when it is restored")

    def is_complete(self):
        self.load.stop()
        for publisher in self.everybody:
            wait_for(lambda p=publisher: self.has_arrived(p), f"all of {publisher.name} is at the cloud")
        wait_for(lambda: all(s["pending"] == 0 for s in self.gw.ctl("stream/list")["streams"]), "nothing waits any more")
        acked = sum(p.acked for p in self.everybody)
        print(f"          {acked} acknowledged, {self.at_cloud.count} arrivals")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        cloud = gateway.Cloud(folder)
        proxy = gateway.Proxy(cloud.port)
        gw = gateway.Gateway(options.build, CONFIG.format(cloud=cloud.port, proxy=proxy.port), folder=folder)
        gw.start()
        scene = Scene(gw, cloud, proxy)
        try:
            for _ in range(options.rounds):
                steps = (
                    ("records flow to the cloud", scene.flows),
                    ("a link that goes silent keeps nobody from publishing", scene.goes_silent),
                    ("while the cloud is away, records pile up", scene.piles_up),
                    ("a link that is silent for too long is given up", scene.silence_is_noticed),
                    ("what has piled up is there after the daemon was killed", scene.survives),
                    ("the backlog drains by priority and starves nobody", scene.drains),
                    ("when the silence ends the link comes back", scene.silence_ends),
                    ("an uplink that is cut and restored goes on where it was", scene.cut_on_purpose),
                    ("nothing acknowledged is missing at the cloud", scene.is_complete),
                )
                if not all(suite.run(*step) for step in steps):
                    gw.show_log()
                    break
        finally:
            scene.ear.end()
            gw.end()
            cloud.end()
            proxy.end()
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
