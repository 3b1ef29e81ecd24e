#!/usr/bin/python3
"""The broker's promises: the daemon is killed again and again under QoS 1 and QoS 2 load, and keeps every one of them.

    tests/e2e/test_sessions.py BUILD [--kills N] [--seconds N] [--seed N]

Each kill comes at a random moment of a random short life, some while the daemon is still starting, some while it is
stopping. Clients of both versions go on with their sessions, or do not, as clients do (sessions.py). What is looked at:

    publishers      everything acknowledged arrives at everybody who had subscribed, QoS 1 and 2, and in a stream; what was
                    retained is the last acknowledged message or one sent after it
    subscribers     always there, away for several lives, coming and going, slow, with a small Receive Maximum, with
                    overlapping filters, sharing: QoS 2 never comes twice; first deliveries are in the order of their
                    publisher; what comes again has the packet id it had, and DUP; acknowledgements come in order
    sessions        session present is never wrong; a subscription is there after SUBACK and with the QoS of the last one,
                    and is not after UNSUBACK
    wills           of clients that were connected are published, of those that had said DISCONNECT or come back in time not
    in the end      nothing is left over: all ids are released, no message comes again, its space on the disk comes back
"""
import argparse
import os
import random
import selectors
import signal
import struct
import tempfile
import time

import gateway
import seglog
from drill import Sequence
from gateway import check
from sessions import Churner, Fickle, Group, Heir, Receiver, Sender, Testator

CONFIG = """queue-max = 1000000
queue-size = 64M
[stream kept]
[route kept]
filter = load/s/#
stream = kept
"""
SEGMENTS_MAX = 3 * 4 * 1024 * 1024  # what the log of messages may be when nobody waits for one
LIVES_AWAY = 5


def bulky(number):
    """Some larger than what goes through the writer's buffer, all larger than what is copied."""
    return struct.pack("!Q", number) + bytes([number % 251]) * (20000 + number % 7 * 16000)


class Drill:
    def __init__(self, gw, rng):
        self.gw, self.rng = gw, rng
        self.retainer = Sender("load/r", 5, 2, topics=5, retain=True)
        self.recorder = Sender("load/s", 4, 2)
        load = [Sender("load/a", 4, 1), Sender("load/b", 5, 2), Sender("load/c", 4, 2), Sender("load/d", 5, 1),
                Sender("load/e", 4, 1, durable=False), Sender("load/f", 5, 2, durable=False), self.retainer,
                self.recorder]
        bulk = [Sender("bulk/g", 5, 1, payload=bulky), Sender("bulk/h", 4, 2, payload=bulky)]
        for sender in bulk:
            sender.window = 4
        self.senders = load + bulk
        self.group = Group(load)

        self.steady = [Receiver("steady/1", 4, [("load/#", 1)], load), Receiver("steady/2", 5, [("load/#", 2)], load),
                       Receiver("bulky/1", 5, [("bulk/#", 1)], bulk), Receiver("bulky/2", 4, [("bulk/#", 2)], bulk),
                       Receiver("slow/4", 4, [("load/a/#", 1), ("load/b/#", 2)], load[:2], pace=rng),
                       Receiver("slow/5", 5, [("load/c/#", 2), ("load/d/#", 1)], load[2:4], pace=rng),
                       Receiver("narrow", 5, [("load/b/#", 2), ("load/e/#", 1)], [load[1], load[4]], receive_max=3),
                       Receiver("overlapping", 5, [("load/#", 1), ("load/b/+", 2), ("load/+/0", 0)], load),
                       Receiver("sharing/1", 5, [("$share/group/load/#", 2)], load, group=self.group)]
        self.flapping = [Receiver("flapping/1", 5, [("load/#", 1)], load), Receiver("flapping/2", 4, [("load/#", 2)], load),
                         Receiver("sharing/2", 4, [("$share/group/load/#", 1)], load, group=self.group),
                         Fickle("fickle/4", 4, [("load/#", 2)], load, rng), Fickle("fickle/5", 5, [("load/#", 2)], load, rng)]
        self.absent = [Receiver("absent/1", 5, [("load/#", 1)], load), Receiver("absent/2", 4, [("load/#", 2)], load),
                       Receiver("sharing/3", 5, [("$share/group/load/#", 2)], load, group=self.group)]
        self.churners = [Churner("churner/4", 4, rng), Churner("churner/5", 5, rng)]
        self.testators = [Testator("brief", 4, 1), Testator("lasting", 5, 2, durable=True), Testator("old", 4, 2, durable=True),
                          Testator("delayed", 5, 1, durable=True, delay=100000)]
        self.heir = Heir("heir", 4, self.testators)
        self.receivers = self.steady + self.flapping + self.absent + [self.heir]
        self.everybody = self.senders + self.receivers + self.churners + self.testators
        self.restless = self.flapping + self.testators + load
        self.selector = selectors.DefaultSelector()
        self.kills = self.lives = self.early = self.late = self.flaps = 0

    # ---- connections ----

    def attach(self, node):
        node.attach(self.gw.port())
        self.selector.register(node.socket, selectors.EVENT_READ, node)

    def let_go(self, node, how):
        self.selector.unregister(node.socket)
        how()

    def flap(self, node):
        """Goes in one of the ways there are, and is back soon, or at once, while the gateway does not know yet that it went."""
        self.flaps += 1
        way = self.rng.choice(("abort", "leave", "last words", "take over"))
        if way == "abort" or not node.is_connected:
            self.let_go(node, node.abort)
        elif way == "leave":
            self.leave(node)
        elif way == "last words" and node.version == 5:
            self.let_go(node, lambda: node.leave(4))
        else:
            other, node.socket = node.socket, None
            self.selector.unregister(other)
            node.abort()
            self.attach(node)
            other.close()

    def leave(self, node):
        self.let_go(node, node.leave)
        if isinstance(node, Testator):
            with self.gw.client("witness", clean=False):  # changes of sessions are stored in their order
                node.never.add(node.number)

    def turn(self, is_over):
        """The clients at work until is_over(packets)."""
        packets = 0
        while not is_over(packets):
            ready = self.selector.select(0.005)
            for key, _ in ready:
                node = key.data
                if node.socket is key.fileobj and not node.on_readable():
                    raise AssertionError(f"{node.name}: the gateway closes the connection")
            packets += len(ready)
            for key in list(self.selector.get_map().values()):
                key.data.tick()
            self.move()

    def move(self):
        """Somebody goes, or comes back."""
        if not self.restless or self.rng.random() > 0.4:
            return
        node = self.rng.choice(self.restless)
        if node.is_attached():
            self.flap(node)
        else:
            self.attach(node)

    # ---- lives ----

    def life(self):
        self.lives += 1
        if self.rng.random() < 0.1:
            self.early += 1
            self.gw.launch()
            time.sleep(self.rng.uniform(0, 0.03))
        else:
            self.gw.start()
            self.audit_retained()
            self.work()
        self.gw.kill()
        self.kills += 1
        for node in self.everybody:
            self.detach(node)

    def work(self):
        nodes = [node for node in self.everybody if node not in self.absent or self.lives % LIVES_AWAY == 0]
        self.rng.shuffle(nodes)
        for node in nodes:
            self.attach(node)
        end = time.monotonic() + self.rng.uniform(0.005, 0.4)
        limit = self.rng.randint(1, 5000)
        self.turn(lambda packets: packets >= limit or time.monotonic() > end)
        if self.rng.random() < 0.1:
            self.late += 1
            self.gw.process.send_signal(signal.SIGTERM)
            time.sleep(self.rng.uniform(0, 0.02))

    def detach(self, node):
        if node.is_attached():
            self.let_go(node, node.detach)

    def audit_retained(self):
        with self.gw.client("auditor") as auditor:
            auditor.subscribe("load/r/#", qos=0)
            auditor.ping()  # they have all come
            found = {m.topic: struct.unpack_from("!Q", m.payload)[0] for m in auditor.messages}
        for k in range(self.retainer.topics):
            acked = max((n for n in self.retainer.acked if n % self.retainer.topics == k), default=0)
            number = found.get(f"load/r/{k}", 0)
            check(acked <= number <= self.retainer.highest, f"load/r/{k}: {acked} was acknowledged, {number} is retained")

    # ---- afterwards ----

    def settle(self):
        """Everybody is there, nothing new is published, and all that was promised comes."""
        for sender in self.senders:
            sender.is_quiet = True
        self.restless = []
        self.gw.start()
        self.audit_retained()
        for node in self.everybody:
            self.attach(node)
        self.wait(lambda: all(node.is_connected for node in self.everybody), lambda: "not all are connected")
        self.wait(lambda: all(sender.is_done() for sender in self.senders),
                  lambda: ", ".join(f"{s.name}: {len(s.publishing)} are not acknowledged, {len(s.releasing)} not completed"
                                    for s in self.senders if not s.is_done()))
        self.wait(lambda: not self.missing(), self.missing)

    def wait(self, what, sentence):
        """Until what() is true, as long as messages arrive. It is asked now and then only: it may take long to say."""
        end = before = 0
        while not what():
            arrivals = sum(node.arrivals for node in self.receivers)
            end = end if arrivals == before else time.monotonic() + gateway.LONG
            before = arrivals
            check(time.monotonic() < end, sentence())
            pause = time.monotonic() + 0.1
            self.turn(lambda _, pause=pause: time.monotonic() > pause)

    def rest(self):
        """Until nothing is under way: what came again because of the last kill has been acknowledged, too."""
        before = None
        while before != (before := sum(node.arrivals for node in self.receivers)):
            for node in self.receivers:
                node.ping()
            self.wait(lambda: not any(node.is_waiting for node in self.receivers), lambda: "a ping is not answered")
            pause = time.monotonic() + 0.2
            self.turn(lambda _, pause=pause: time.monotonic() > pause)

    def missing(self):
        return next(filter(None, (party.missing() for party in [*self.receivers, self.group])), None)

    def all_arrived(self):
        self.settle()
        for sender in self.senders:
            check(sender.acked, f"{sender.name}: something was acknowledged")
        print(f"          {sum(len(s.acked) for s in self.senders)} acknowledged, {sum(r.arrivals for r in self.receivers)} "
              f"arrivals, {sum(r.repetitions for r in self.receivers)} of them again, {self.flaps} interruptions, "
              f"{sum(len(t.due) for t in self.testators)} wills, {sum(c.changes for c in self.churners)} subscriptions changed")

    def all_gone(self):
        """What has been delivered is not there any more: not on the disk, and not for a client that comes back."""
        folder = os.path.join(self.gw.state, "queues", "sessions")
        self.rest()
        self.wait(lambda: size_of(folder) <= SEGMENTS_MAX, lambda: f"{size_of(folder)} bytes of messages are still there")
        for node in self.everybody:
            self.let_go(node, node.leave)
        check(self.gw.stop() == 0, "the daemon stops with status 0")
        self.gw.start()
        before = {node: (node.arrivals, node.repetitions) for node in self.receivers}
        for node in self.receivers:
            if not isinstance(node, Fickle):
                self.attach(node)
                node.ping()
        self.wait(lambda: not any(node.is_waiting for node in self.receivers), lambda: "a ping is not answered")
        for node, counts in before.items():
            check(counts == (node.arrivals, node.repetitions), f"{node.name}: something comes again")
            if node.is_attached():
                self.let_go(node, node.abort)
        self.gw.kill()

    def all_recorded(self):
        found = Sequence()
        for _, topic, payload in seglog.read(os.path.join(self.gw.state, "streams", "kept")):
            found.take(topic, payload)
        highest = found.highest.get("load/s/0", 0)
        check(max(self.recorder.acked) <= highest <= self.recorder.highest,
              f"{max(self.recorder.acked)} acknowledged, {highest} in the stream, {self.recorder.highest} sent")
        print(f"          {len(self.recorder.acked)} acknowledged, {found.count} records")


def size_of(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def campaign(drill, kills, seconds):
    end = time.monotonic() + seconds if seconds else None
    while drill.kills < kills or (end and time.monotonic() < end):
        try:
            drill.life()
        except BaseException:
            print(f"          in life {drill.lives}", flush=True)
            raise
    print(f"          {drill.kills} kills, {drill.early} of them during the start, {drill.late} during the stop")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0, help="go on for so long, at least")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    print(f"seed {options.seed}", flush=True)
    with gateway.Gateway(options.build, CONFIG) as gw:
        gw.kill()
        drill = Drill(gw, random.Random(options.seed))
        if suite.run("the daemon is killed again and again, and breaks no promise", campaign, drill, options.kills,
                     options.seconds):
            if suite.run("everything acknowledged arrives at everybody who is to get it", drill.all_arrived):
                suite.run("nothing is left of what has been delivered", drill.all_gone)
            suite.run("every acknowledged message is in the stream, in order", drill.all_recorded)
        if suite.failed:
            gw.show_log()
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
