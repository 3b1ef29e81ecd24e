#!/usr/bin/python3
"""A bad link: everything acknowledged arrives at the cloud, in order, whatever happens on the way.

    tests/e2e/test_bad_link.py BUILD [--seconds N] [--check]

The gateway and a Mosquitto live in network namespaces with a cable between them that carries 20 kbit/s. It is pulled again and
again while the load goes on, it loses packets, connections are killed, one uplink's name server does not answer, another one's
peer accepts and says nothing, and a third goes through a relay that delays. Without --seconds it takes about 40 s, the cut
being 6 s long instead of 30.

What is promised is asserted: nothing acknowledged is missing at the end, every stream is in order (with a live share: each of its
two lanes), and nothing stops for ever. Times are printed; --check fails when they are not what they should be: the first
record within 2 s of the link's return, 90 % of the link used while the backlog drains, new records there within 2 s (p99),
the lowest class never silent for long, memory flat.
"""
import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time

import badnet
import gateway
import raw
from gateway import check, wait_for

RATE = 20000  # bits a second
CONFIG = """
[uplink cloud]
uri = mqtt://{there}:{port}
client-id = main
keepalive = 10s
[uplink delayed]
uri = mqtt://{there}:{relay}
client-id = delayed
keepalive = 10s
[uplink named]
uri = mqtt://broker.example:{port}
client-id = named
connect-timeout = 5s
[uplink mute]
uri = mqtt://{there}:{mute}
client-id = mute
connect-timeout = 5s

[stream live]
uplink = cloud
priority = 2
live-share = 50
[stream telemetry]
uplink = cloud
priority = 5
[stream bulk]
uplink = cloud
priority = 9
[stream delayed]
uplink = delayed
[stream named]
uplink = named
[stream mute]
uplink = mute
"""
STREAMS = ("live", "telemetry", "bulk", "delayed", "named", "mute")


class Producer(threading.Thread):
    """Publishes numbers, one after the other, each when the one before was acknowledged; so many a second, and bursts."""

    def __init__(self, door, stream, rate, size):
        super().__init__(daemon=True)
        self.door, self.stream, self.rate, self.size = door, stream, rate, size
        self.acked = 0
        self.wanted = 0.0
        self.ended = threading.Event()
        self.error = None
        self.start()

    def run(self):
        try:
            last = time.monotonic()
            with raw.Client(self.door, "producer-" + self.stream) as client:
                while not self.ended.is_set():
                    now = time.monotonic()
                    self.wanted += (now - last) * self.rate
                    last = now
                    while self.acked + 1 <= self.wanted and not self.ended.is_set():
                        self.publish(client)
                    time.sleep(0.01)
        except Exception as error:  # told by check_alive()
            self.error = error

    def publish(self, client):
        text = f"{self.acked + 1} {time.monotonic():.6f} ".encode()
        reason = client.publish(f"$gatehouse/streams/{self.stream}/append", text.ljust(self.size, b"."))
        check(reason < 0x80, f"stream {self.stream} refuses: 0x{reason:02x}")
        self.acked += 1

    def burst(self, count):
        self.wanted += count

    def end(self):
        self.ended.set()
        self.join(gateway.LONG)
        if self.error:
            raise self.error


class Arrivals(threading.Thread):
    """What is at the cloud. `streams`: name to the numbers that have come; `log`: (when, stream, number, way)."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.seen = {name: set() for name in STREAMS}
        self.high = {name: 0 for name in STREAMS}
        self.low = {name: 0 for name in STREAMS}  # of the main lane, where there are two
        self.again = 0
        self.log = []
        self.faults = []
        self.ended = False
        self.ready = threading.Event()
        self.start()
        check(self.ready.wait(gateway.LONG), "the test hears what is at the cloud")

    def run(self):
        with raw.Client(self.address, "arrivals") as client:
            client.subscribe("#")
            self.ready.set()
            while not self.ended:
                try:
                    self.take(client.message(0.2))
                except raw.Timeout:
                    continue
                except raw.Closed:
                    return  # the broker has been ended

    def take(self, message):
        now = time.monotonic()
        name = message.topic.split("/")[-1]
        if name not in self.seen:
            return
        number, sent = message.payload.split(b" ")[:2]
        number = int(number)
        if number in self.seen[name]:
            self.again += 1
            return
        self.seen[name].add(number)
        self.log.append((now, name, number, now - float(sent)))
        self.check_order(name, number)

    def check_order(self, name, number):
        """With two lanes each of them rises: what is new goes on at the top, what is old between the two."""
        if number > self.high[name]:
            if name != "live" and number != self.high[name] + 1:
                self.faults.append(f"{name}: {self.high[name]} is followed by {number}")
            self.high[name] = number
        elif number <= self.low[name] or name != "live":
            self.faults.append(f"{name}: {number} comes after {self.low[name]} and {self.high[name]}")
        else:
            self.low[name] = number
        while self.low[name] + 1 in self.seen[name]:
            self.low[name] += 1

    def count(self, name):
        return len(self.seen[name])

    def between(self, begin, end, name=None):
        return [entry for entry in list(self.log) if begin <= entry[0] <= end and name in (None, entry[1])]

    def end(self):
        self.ended = True
        self.join(gateway.LONG)


class Broker:
    """Mosquitto on the other side, and on a Unix socket for the test, which so hears without the cable."""

    def __init__(self, network, folder):
        self.program = gateway.find_tool("mosquitto")
        self.port = 1883
        self.path = os.path.join(folder, "broker.sock")
        config = os.path.join(folder, "broker.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"listener {self.port} {badnet.THERE}\nlistener 0 {self.path}\nallow_anonymous true\nuser root\n"
                       "persistence false\nlog_dest none\nmax_queued_messages 0\n")
        self.process = subprocess.Popen(["ip", "netns", "exec", network.there.name, self.program, "-c", config],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path), "the broker listens")

    def end(self):
        self.process.kill()
        self.process.wait()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


class Scene:
    def __init__(self, options, network, folder):
        self.seconds, self.strict = options.seconds, options.check
        self.network = network
        self.cut = 6.0 if self.seconds <= 60 else 30.0
        self.broker = Broker(network, folder)
        self.names = badnet.NameServer(network)
        self.relay = badnet.Relay(network, self.broker.port, 0.15, 0.1)
        self.mute = badnet.Relay(network, self.broker.port)
        self.mute.mute.set()
        self.door = os.path.join(folder, "door.sock")
        config = CONFIG.format(there=badnet.THERE, port=self.broker.port, relay=self.relay.port, mute=self.mute.port)
        self.gw = gateway.Gateway(options.build, config, listen=(f"unix://{self.door}?access=open",), folder=folder,
                                  prefix=("ip", "netns", "exec", network.here.name))
        self.gw.start()
        self.arrivals = Arrivals(self.broker.path)
        self.producers = {}
        self.figures = []
        self.memory = []
        self.bad = []

    def begin(self):
        for name, rate, size in (("live", 1.5, 60), ("telemetry", 1, 150), ("bulk", 0.5, 200), ("delayed", 0.3, 60),
                                 ("named", 0.3, 60), ("mute", 0.3, 60)):
            self.producers[name] = Producer(self.door, name, rate, size)

    # ---- what is looked at ----

    def uplink(self, name):
        return next(u for u in self.gw.ctl("uplink/list")["uplinks"] if u["name"] == name)

    def pending(self, *names):
        return sum(self.producers[name].acked - self.arrivals.count(name) for name in names)

    def rss(self):
        with open(f"/proc/{self.gw_pid()}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4

    def gw_pid(self):
        """`ip netns exec` becomes the daemon."""
        return self.gw.process.pid

    def figure(self, name, value, unit, good=True):
        self.figures.append((name, value, unit, good))
        print(f"          {name}: {value:.3g} {unit}{'' if good else '   <<< not what it should be'}", flush=True)
        if not good:
            self.bad.append(name)

    # ---- what happens ----

    def flows(self):
        """The name server is silent and a peer is mute from the beginning: nobody else is held up by them."""
        wait_for(lambda: self.uplink("cloud")["state"] == "up" and self.uplink("delayed")["state"] == "up", "links come up")
        self.begin()
        self.network.rate(RATE)
        wait_for(lambda: self.arrivals.count("live") > 3 and self.arrivals.count("delayed") > 1, "records arrive")
        for name, reason in (("named", "broker.example"), ("mute", "cannot connect")):
            wait_for(lambda n=name, r=reason: r in (self.uplink(n)["reason"] or ""), f"the uplink {name} says why it is down")

    def is_cut(self):
        self.memory.append(self.rss())
        self.network.down()
        scale = self.cut / 6
        if self.cut >= 30:  # so many, and so old, that what is new gets a lane of its own
            self.producers["live"].burst(200)
        self.producers["telemetry"].burst(int(60 * scale))
        self.producers["bulk"].burst(int(40 * scale))
        time.sleep(self.cut)

    def returns(self):
        self.network.up()
        self.back = time.monotonic()
        wait_for(lambda: self.arrivals.between(self.back, time.monotonic(), "live") or
                 self.arrivals.between(self.back, time.monotonic(), "telemetry"), "a record arrives after the cut")
        first = min(entry[0] for entry in self.arrivals.between(self.back, time.monotonic())
                    if entry[1] in ("live", "telemetry", "bulk"))
        self.figure("first record after the link's return", first - self.back, "s", first - self.back <= 2)
        self.begun = first

    def drains(self):
        carried = self.arrivals.between(0, self.begun)
        bytes_before, at = self.network.sent_bytes(), time.monotonic()
        longest = time.monotonic() + 20 * self.cut + 60
        wait_for(lambda: self.pending("live", "telemetry", "bulk") <= 6, "the backlog drains", timeout=longest - time.monotonic(),
                 pause=0.1)
        end = time.monotonic()
        used = (self.network.sent_bytes() - bytes_before) * 8 / (end - at) / RATE
        # What was published while it drained; what waited for the link is the backlog itself.
        ways = [way for when, name, _, way in self.arrivals.between(at, end + 2)
                if name == "live" and at < when - way < end]
        gaps = [self.begun] + [entry[0] for entry in self.arrivals.between(self.begun, end, "bulk")] + [end]
        silent = max(b - a for a, b in zip(gaps, gaps[1:]))
        self.figure("the backlog took", end - at, "s")
        self.figure("link used while it drained", used * 100, "%", used >= 0.9)
        self.figure("records a second", (len(self.arrivals.between(0, end)) - len(carried)) / (end - at), "")
        self.figure("new records meanwhile, median", percentile(ways, 0.5), "s")
        self.figure(f"new records meanwhile, p99 of {len(ways)}", percentile(ways, 0.99), "s", percentile(ways, 0.99) < 2)
        self.figure("lowest class silent for at most", silent, "s", silent < 10)

    def loses(self):
        """What a lost packet costs on such a link is TCP's time, one to three seconds: so this has a step of its own."""
        begin, more = time.monotonic(), {"live": 9, "telemetry": 9, "bulk": 5, "delayed": 3}
        wanted = {name: self.arrivals.count(name) + count for name, count in more.items()}
        self.network.loss(3)
        wait_for(lambda: all(self.arrivals.count(n) >= wanted[n] for n in wanted), "records arrive through the loss", timeout=150)
        self.network.loss(0)
        ways = [way for _, _, _, way in self.arrivals.between(begin, time.monotonic(), "live")]
        self.figure("new records with 3 % loss, median", percentile(ways, 0.5), "s")
        self.figure(f"new records with 3 % loss, p99 of {len(ways)}", percentile(ways, 0.99), "s")

    def killed(self):
        killed = self.network.kill_connections()
        check(killed >= 1, "there was a connection to kill")
        before = {"live": self.arrivals.count("live") + 2, "delayed": self.arrivals.count("delayed") + 1}
        wait_for(lambda: all(self.arrivals.count(n) > before[n] for n in before), "records arrive after connections were killed")

    def delayed_is_cut(self):
        before = self.arrivals.count("delayed")
        self.relay.cut_all()
        wait_for(lambda: self.arrivals.count("delayed") > before + 1, "the delayed link comes back")

    def let_others_speak(self):
        self.names.speaks.set()
        self.mute.mute.clear()

    def others_speak(self):
        self.let_others_speak()
        wait_for(lambda: self.pending("named", "mute") < 8 and self.arrivals.count("named") and self.arrivals.count("mute"),
                 "the name server answers and the peer speaks: what waited arrives", timeout=150)

    def is_complete(self):
        for producer in self.producers.values():
            producer.end()
        self.network.rate(None)
        for name, producer in self.producers.items():
            wait_for(lambda n=name, p=producer: self.arrivals.count(n) >= p.acked, f"all of {name} is at the cloud", 120)
        check(not self.arrivals.faults, "every stream is in order: " + "; ".join(self.arrivals.faults[:5]))
        acked = sum(p.acked for p in self.producers.values())
        print(f"          {acked} acknowledged, all there, {self.arrivals.again} came twice")
        for name in STREAMS:
            verdict = self.gw.ask("stream", "verify", name)
            check("fault" not in verdict or not verdict["fault"], f"the books of {name} balance: {verdict}")
        self.memory.append(self.rss())
        grown = max(self.memory) - self.memory[0]
        self.figure("memory at the first cut", self.memory[0], "KiB")
        self.figure("and more than that, at most", grown, "KiB", grown < 4096)

    def is_good(self):
        check(not self.bad, "not what it should be: " + ", ".join(sorted(set(self.bad))))

    def end(self):
        for producer in self.producers.values():
            producer.ended.set()
        self.arrivals.ended = True
        self.gw.end()
        for part in (self.broker, self.names, self.relay, self.mute):
            part.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=0, help="repeat until so long has passed; with 30 s cuts above 60")
    parser.add_argument("--check", action="store_true", help="fail when a time is not what it should be")
    options = parser.parse_args()
    network = badnet.Network()
    suite = gateway.Suite(options.build)
    folder = tempfile.mkdtemp(prefix="gatehouse-e2e-")
    scene = None
    try:
        scene = Scene(options, network, folder)
        until = time.monotonic() + options.seconds
        good = suite.run("records flow, whatever others' names and peers do", scene.flows)
        while good:
            is_last = time.monotonic() >= until
            steps = (("the cable is pulled under load", scene.is_cut),
                     ("records arrive when it is back", scene.returns),
                     ("the backlog drains", scene.drains),
                     ("packets are lost", scene.loses))
            good = all(suite.run(*step) for step in steps)
            if good and is_last:  # they are asked again after a pause, which may as well pass meanwhile
                scene.let_others_speak()
            good = good and all(suite.run(*step) for step in (("connections that are killed come back", scene.killed),
                                                              ("so does one that is slow", scene.delayed_is_cut)))
            if is_last:
                break
        good = good and suite.run("a name that is answered at last, and a peer that speaks at last", scene.others_speak)
        good = good and suite.run("nothing acknowledged is missing, and all is in order", scene.is_complete)
        if good and options.check:
            suite.run("the figures are what they should be", scene.is_good)
        if suite.failed:
            scene.gw.show_log()
    finally:
        if scene:
            scene.end()
        network.end()
        shutil.rmtree(folder, ignore_errors=True)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
