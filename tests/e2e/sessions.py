"""Clients with sessions, for the durability drill of the broker: they keep what MQTT says a client keeps, and know what they
were promised.

    Node            one client id: connects, and knows whether the gateway must have its session
    ├─ Sender       publishes 1, 2, 3, …; a durable one sends again what was not acknowledged, with the same packet ids
    ├─ Receiver     takes them, holds the ids of QoS 2 messages until PUBREL, and notices what is lost, doubled, out of order
    │  └─ Fickle    ends its session now and then
    ├─ Churner      subscribes and unsubscribes, and looks whether that is so
    └─ Testator     has a will, and goes with or without a word

A payload says its number, a topic its sender: the first two levels are the sender's name.
"""
import collections
import struct

import gateway
import raw
from drill import payload_of
from gateway import check

FOREVER = 0xFFFFFFFF


class Node:
    """`session`: must the gateway have one of ours? None: a CONNECT or its answer was lost, so we cannot know."""

    def __init__(self, name, version, durable=True, receive_max=0):
        self.name, self.version, self.durable, self.receive_max = name, version, durable, receive_max
        self.session = False
        self.clean = not durable
        self.expiry = FOREVER if durable else 0
        self.socket = self.reader = self.expected = None
        self.is_connected = self.is_waiting = False
        self.packet_id = 0

    # ---- the connection ----

    def attach(self, port):
        self.reader = raw.Reader(self.version)
        self.is_connected = False
        self.expected = False if self.clean else self.session
        self.socket = raw.open_socket(port)
        self.send(self.connect_packet())
        is_sure = self.session is False if self.expiry == 0 else self.session and not self.clean
        if not is_sure:
            self.session = None  # until CONNACK tells

    def connect_packet(self):
        return raw.connect(self.name, self.version, self.clean, props=self.props())

    def props(self):
        if self.version != 5:
            return b""
        return ((struct.pack("!BI", raw.SESSION_EXPIRY, self.expiry) if self.expiry else b"") +
                (struct.pack("!BH", raw.RECEIVE_MAX, self.receive_max) if self.receive_max else b""))

    def is_attached(self):
        return self.socket is not None

    def abort(self):
        """Without a word."""
        if self.socket:
            self.socket.close()
            self.socket = None
        self.forget_connection()

    def leave(self, reason=0):
        """With DISCONNECT, and reading until the gateway has closed, too."""
        body = bytes([reason]) if reason else b""
        self.send(raw.packet(raw.DISCONNECT, 0, body))
        self.detach()

    def detach(self):
        """Until the end of the connection, which is near: what was said before is still there to be read."""
        if not self.socket:
            return
        try:
            self.socket.settimeout(gateway.LONG)
            while self.on_readable():
                pass
        finally:
            self.abort()

    def forget_connection(self):
        """A session that ends with its connection is no more, if it was ours."""
        self.is_connected = False
        if self.expiry == 0 and self.session is not None:
            self.session = False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has been killed; the end of the connection says so, too

    def ping(self):
        """is_waiting until the answer comes."""
        self.is_waiting = True
        self.send(raw.packet(raw.PINGREQ, 0, b""))

    def next_id(self):
        self.packet_id = self.packet_id % 1000 + 1
        return self.packet_id

    def fail_if(self, condition, sentence):
        check(not condition, f"{self.name}: {sentence}")

    # ---- what comes ----

    def on_readable(self):
        """False when the connection is over."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            return False
        if not data:
            return False
        for packet in self.reader.feed(data):
            if packet.kind == raw.CONNACK:
                self.on_connack(packet)
            elif packet.kind == raw.DISCONNECT:
                self.fail_if(packet.reason not in (0x8B, 0x8E), f"DISCONNECT 0x{packet.reason:02x}")
            elif packet.kind == raw.PINGRESP:
                self.is_waiting = False
            else:
                self.on_packet(packet)
        return True

    def on_connack(self, packet):
        self.fail_if(packet.reason, f"CONNECT is refused with 0x{packet.reason:02x}")
        present = packet.session_present
        self.fail_if(self.expected is not None and present != self.expected,
                     f"session present is {int(present)}, and the session is {'not ' * (not self.expected)}there")
        self.session = True
        self.is_connected = True
        self.on_connected(present)

    def on_connected(self, present):
        pass

    def on_packet(self, packet):
        raise AssertionError(f"{self.name}: unexpected {packet}")

    def tick(self):
        """Now and then while it is attached."""


# ---- who publishes ----------------------------------------------------------------------------------------------------


class Sender(Node):
    """Keeps a window of messages under way. A durable one resumes; one with a clean session forgets what was not
    acknowledged, and only counts what was."""

    window = 16

    def __init__(self, name, version, qos, durable=True, topics=1, retain=False, payload=payload_of):
        super().__init__(name, version, durable)
        self.qos, self.topics, self.retain, self.payload = qos, topics, retain, payload
        self.highest = 0  # that was ever sent
        self.acked = set()
        self.repeated = set()
        self.publishing = collections.deque()  # numbers without PUBACK or PUBREC, in their order
        self.releasing = {}  # without PUBCOMP: packet id: number
        self.is_quiet = False

    def topic_of(self, number):
        return f"{self.name}/{number % self.topics}"

    @staticmethod
    def id_of(number):
        return (number - 1) % 65535 + 1

    def packet_of(self, number, again):
        return raw.publish(self.topic_of(number), self.payload(number), self.qos, self.id_of(number), self.version,
                           self.retain, again)

    def on_connected(self, present):
        if not self.durable:
            self.publishing.clear()
            self.releasing.clear()
        self.fail_if(self.releasing and not present, "the session is not there, and messages are not released")
        self.repeated.update(self.publishing)
        self.send(b"".join([raw.acknowledge(raw.PUBREL, packet_id) for packet_id in self.releasing] +
                           [self.packet_of(number, True) for number in self.publishing]))
        self.fill()

    def fill(self):
        out = []
        while not self.is_quiet and len(self.publishing) + len(self.releasing) < self.window:
            self.highest += 1
            self.publishing.append(self.highest)
            out.append(self.packet_of(self.highest, False))
        if out:
            self.send(b"".join(out))

    def on_packet(self, packet):
        if packet.kind in (raw.PUBACK, raw.PUBREC):
            self.fail_if(packet.kind != (raw.PUBACK if self.qos == 1 else raw.PUBREC), f"unexpected {packet}")
            self.on_acknowledged(packet)
        elif packet.kind == raw.PUBCOMP:
            self.fail_if(packet.packet_id not in self.releasing, f"PUBCOMP for {packet.packet_id}, which is not released")
            self.fail_if(packet.reason not in (0, 0x92), f"PUBCOMP with 0x{packet.reason:02x}")
            del self.releasing[packet.packet_id]
        else:
            super().on_packet(packet)
        self.fill()

    def on_acknowledged(self, packet):
        self.fail_if(packet.reason not in (0, 0x10), f"refused with 0x{packet.reason:02x}")
        number = self.publishing.popleft() if self.publishing else 0
        self.fail_if(packet.packet_id != self.id_of(number),
                     f"{packet.packet_id} is acknowledged before {self.id_of(number)}")
        self.acked.add(number)
        if self.qos == 2:
            self.releasing[packet.packet_id] = number
            self.send(raw.acknowledge(raw.PUBREL, packet.packet_id))

    def is_done(self):
        return not self.publishing and not self.releasing


# ---- who subscribes ---------------------------------------------------------------------------------------------------


class Flow:
    """What a receiver has of one sender."""

    def __init__(self):
        self.due = None  # numbers above are to come; None: nothing is
        self.last = None  # the highest that has come
        self.ids = {}  # number: packet id with which it came


class Receiver(Node):
    """`filters`: (filter, QoS), …. With `pace`, acknowledgements are held back and sent in any order that MQTT allows:
    PUBACKs among themselves, and PUBRECs, as their messages came [MQTT-4.6.0-2, -3]."""

    def __init__(self, name, version, filters, senders, **options):
        self.pace = options.pop("pace", None)  # a random generator
        self.group = options.pop("group", None)  # what the members of a shared subscription have together
        super().__init__(name, version, **options)
        self.filters = filters
        self.senders = {sender.name: sender for sender in senders}
        self.flows = {sender.name: Flow() for sender in senders}
        self.held = collections.deque()  # acknowledgements, (kind, packet id)
        self.unreleased = {}  # QoS 2, until PUBREL: packet id: (sender's name, number)
        self.under_way = set()  # packet ids of this connection that we did not finish
        self.is_subscribed = False
        self.arrivals = self.repetitions = 0

    def forget_connection(self):
        super().forget_connection()
        self.held.clear()
        self.under_way.clear()

    def on_connected(self, present):
        if not present:
            self.begin_anew()
        if not self.is_subscribed:
            self.send(raw.subscribe(self.next_id(), self.filters, self.version))

    def begin_anew(self):
        """Another session: nothing of the one before is owed to us, and nothing is known."""
        self.is_subscribed = False
        self.unreleased.clear()
        for name in self.flows:
            self.flows[name] = Flow()

    def on_packet(self, packet):
        if packet.kind == raw.PUBLISH:
            self.on_publish(packet.message())
        elif packet.kind == raw.PUBREL:
            self.unreleased.pop(packet.packet_id, None)
            self.answer(raw.PUBCOMP, packet.packet_id)
        elif packet.kind == raw.SUBACK:
            self.fail_if(packet.reasons != [qos for _, qos in self.filters], f"SUBACK says {packet.reasons}")
            self.on_subscribed()
        else:
            super().on_packet(packet)

    def on_subscribed(self):
        """Whatever is published from now on is to come."""
        self.is_subscribed = True
        for name, flow in self.flows.items():
            if flow.due is None:
                flow.due = self.senders[name].highest
        if self.group is not None:
            for name, flow in self.flows.items():
                self.group.due.setdefault(name, flow.due)

    def granted(self, topic):
        return max(qos for name, qos in self.filters if matches(name, topic))

    def on_publish(self, message):
        if message.retain:  # from before we subscribed
            self.answer_message(message)
            return
        name = "/".join(message.topic.split("/")[:2])
        number = number_of(message, self.senders[name].payload)
        self.fail_if(message.qos != min(self.granted(message.topic), self.senders[name].qos),
                     f"{name} {number} comes with QoS {message.qos}")
        if message.qos:
            self.fail_if(message.packet_id in self.under_way,
                         f"packet id {message.packet_id} comes again on the same connection")
            self.under_way.add(message.packet_id)
            self.fail_if(self.receive_max and len(self.under_way) > self.receive_max,
                         f"more than {self.receive_max} messages are under way")
        if message.qos == 2:
            known = self.unreleased.get(message.packet_id)
            if known:
                self.fail_if(known != (name, number), f"packet id {message.packet_id} is {known}, not released, and now "
                             f"{name} {number}")
                self.fail_if(not message.again, f"{name} {number} comes again without DUP")
                self.repetitions += 1
                self.answer_message(message)
                return
            self.unreleased[message.packet_id] = (name, number)
        self.take(self.flows[name], self.senders[name], number, message)
        self.answer_message(message)

    def take(self, flow, sender, number, message):
        """The order is that of first deliveries. A sender that resumes leaves nothing out; one that does not may have lost
        what was not acknowledged; missing() looks for the rest. What is from before we subscribed may be sent again late."""
        name = f"{sender.name} {number}"
        before = flow.ids.get(number)
        if before is not None:
            self.fail_if(message.qos == 2, f"{name} comes twice with QoS 2, ids {before} and {message.packet_id}")
            if number not in sender.repeated:
                self.fail_if(before != message.packet_id, f"{name} comes again with packet id {message.packet_id}, was {before}")
                self.fail_if(not message.again, f"{name} comes again without DUP")
            self.repetitions += 1
        elif self.group is None and not (number in sender.repeated and number <= (flow.due or number)):
            last = flow.last if flow.last is not None else flow.due
            self.fail_if(flow.last is not None and number < flow.last, f"{name} comes after {flow.last}")
            self.fail_if(sender.durable and last is not None and number > last + 1, f"{name} comes after {last}")
        flow.ids[number] = message.packet_id
        flow.last = max(flow.last or 0, number)
        self.arrivals += 1
        if self.group is not None:
            self.group.seen[sender.name].add(number)

    def answer_message(self, message):
        if message.qos:
            self.answer(raw.PUBACK if message.qos == 1 else raw.PUBREC, message.packet_id)

    def answer(self, kind, packet_id):
        self.held.append((kind, packet_id))
        if not self.pace:
            self.answer_held(len(self.held))

    def answer_held(self, count):
        out = []
        for _ in range(count):
            kind, packet_id = self.held.popleft()
            if kind != raw.PUBREC:
                self.under_way.discard(packet_id)
            out.append(raw.acknowledge(kind, packet_id))
        if out:
            self.send(b"".join(out))

    def tick(self):
        if not self.pace or not self.held:
            return
        kinds = {kind: collections.deque(answer for answer in self.held if answer[0] == kind)
                 for kind in (raw.PUBACK, raw.PUBREC)}
        completed = [answer for answer in self.held if answer[0] == raw.PUBCOMP]
        self.pace.shuffle(completed)
        kinds[raw.PUBCOMP] = collections.deque(completed)
        order = [kind for kind, _ in self.held]
        self.pace.shuffle(order)
        self.held = collections.deque(kinds[kind].popleft() for kind in order)
        self.answer_held(self.pace.randint(0, len(self.held)))

    # ---- in the end ----

    def missing(self):
        """A sentence about something that was acknowledged to a sender and has not come."""
        lost = [self.lost(self.senders[name], flow.due, flow.ids) for name, flow in self.flows.items() if not self.group]
        if self.unreleased:
            lost.append(f"{sorted(self.unreleased)} are not released")
        return next((f"{self.name}: {sentence}" for sentence in lost if sentence), None)

    @staticmethod
    def lost(sender, due, seen):
        numbers = [number for number in sender.acked if due is not None and number > due and number not in seen]
        return f"{len(numbers)} of {sender.name} are missing, {min(numbers)} first" if numbers else None


def number_of(message, payload):
    number = struct.unpack_from("!Q", message.payload)[0]
    check(message.payload == payload(number), f"{message.topic}: message {number} is as it was sent")
    return number


def matches(name, topic):
    """Filters of this drill: a # at the end, a + anywhere."""
    if name.startswith("$share/"):
        name = name.split("/", 2)[2]
    wanted, levels = name.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[:len(wanted)]
    return len(wanted) == len(levels) and all(w in ("+", level) for w, level in zip(wanted, levels))


class Group:
    """A shared subscription: what one of its members has got, the group has."""

    def __init__(self, senders):
        self.senders = senders
        self.due = {}
        self.seen = {sender.name: set() for sender in senders}

    def missing(self):
        for sender in self.senders:
            lost = Receiver.lost(sender, self.due.get(sender.name), self.seen[sender.name])
            if lost:
                return f"the group: {lost}"
        return None


class Fickle(Receiver):
    """Goes on with its session, begins a new one, or lets it end with its connection."""

    def __init__(self, name, version, filters, senders, rng):
        super().__init__(name, version, filters, senders)
        self.rng = rng

    def attach(self, port):
        word = self.rng.choice(("on", "on", "new", "brief", "last"))
        if self.version == 4 and word in ("new", "last"):
            word = "brief"  # has no words for these
        self.clean = word in ("new", "brief")
        self.expiry = 0 if word in ("brief", "last") else FOREVER
        if self.clean:
            self.begin_anew()
        super().attach(port)

    def forget_connection(self):
        was_brief = self.expiry == 0
        super().forget_connection()
        if was_brief:
            self.begin_anew()


class Churner(Node):
    """Changes one subscription all the time. After each change, and after each start, it publishes to the topic (QoS 2) and
    then to one it always listens to (QoS 1): when the second message is here, the first has come as the subscription says."""

    def __init__(self, name, version, rng):
        super().__init__(name, version)
        self.rng = rng
        self.topic, self.fence = f"churn/{name}/topic", f"churn/{name}/fence"
        self.granted = None  # 0: no subscription; 1 or 2: its QoS; None: it is not known
        self.wanted = self.before = None  # while it is being changed
        self.is_listening = False
        self.probe = self.changes = 0
        self.heard = None
        self.forbidden = set()
        self.outgoing = {}  # QoS 2: packet id: the number, or None when it is to be released

    def on_connected(self, present):
        self.forbidden.difference_update(self.outgoing.values())  # what is sent again may be as if it was new
        for packet_id, number in self.outgoing.items():
            self.send(raw.acknowledge(raw.PUBREL, packet_id) if number is None else self.packet_of(packet_id, number, True))
        if not self.is_listening:
            self.send(raw.subscribe(self.next_id(), [(self.fence, 1)], self.version))
        elif self.granted is None:
            self.change()
        else:
            self.look()

    def packet_of(self, packet_id, number, again):
        return raw.publish(self.topic, payload_of(number), 2, packet_id, self.version, again=again)

    def change(self):
        """Away with the subscription, or to another QoS."""
        self.wanted = self.rng.choice([qos for qos in (0, 1, 2) if qos != self.granted])
        self.before, self.granted = self.granted, None
        packet_id = self.next_id()
        self.send(raw.subscribe(packet_id, [(self.topic, self.wanted)], self.version) if self.wanted else
                  raw.unsubscribe(packet_id, [self.topic], self.version))

    def look(self):
        self.probe += 1
        self.heard = None
        if self.granted == 0:
            self.forbidden.add(self.probe)
        packet_id = 2000 + self.probe % 1000
        self.outgoing[packet_id] = self.probe
        self.send(self.packet_of(packet_id, self.probe, False) +
                  raw.publish(self.fence, payload_of(self.probe), 1, self.next_id(), self.version))

    def on_packet(self, packet):
        if packet.kind == raw.PUBLISH:
            self.on_publish(packet.message())
        elif packet.kind in (raw.SUBACK, raw.UNSUBACK):
            self.on_changed(packet)
        elif packet.kind == raw.PUBREC:
            self.outgoing[packet.packet_id] = None
            self.send(raw.acknowledge(raw.PUBREL, packet.packet_id))
        elif packet.kind == raw.PUBCOMP:
            self.outgoing.pop(packet.packet_id, None)
        elif packet.kind == raw.PUBREL:
            self.send(raw.acknowledge(raw.PUBCOMP, packet.packet_id))
        elif packet.kind != raw.PUBACK:
            super().on_packet(packet)

    def on_changed(self, packet):
        if not self.is_listening:
            self.is_listening = True
            self.granted = 0
        else:
            answer = packet.reasons or [0]  # 3.1.1: an UNSUBACK has none
            is_known = self.wanted or self.before is not None
            self.fail_if(is_known and answer != [self.wanted], f"the answer to {self.wanted} is {answer}")
            self.granted = self.wanted
            self.changes += 1
        self.look()

    def on_publish(self, message):
        if message.qos:
            self.send(raw.acknowledge(raw.PUBACK if message.qos == 1 else raw.PUBREC, message.packet_id))
        number = number_of(message, payload_of)
        if message.topic == self.topic:
            self.fail_if(number in self.forbidden, f"{number} comes, though it had unsubscribed before")
            if number == self.probe and self.granted is not None:
                self.fail_if(message.qos != self.granted, f"{number} comes with QoS {message.qos}, {self.granted} was granted")
                self.heard = number
        elif number == self.probe and self.granted is not None:
            self.fail_if(self.granted and self.heard != number, f"{number} does not come: the subscription is lost")
            self.change()


class Testator(Node):
    """Its will says the number of its connection. What must have been published then, and what must never be."""

    def __init__(self, name, version, qos, durable=False, delay=0):
        super().__init__(name, version, durable)
        self.qos, self.delay = qos, delay
        self.number = 0  # of the connection
        self.due, self.never = set(), set()

    def connect_packet(self):
        self.number += 1
        will = f"will/{self.name}", payload_of(self.number), self.qos, False
        delay = struct.pack("!BI", raw.WILL_DELAY, self.delay) if self.delay else b""
        return raw.connect(self.name, self.version, self.clean, will=will, props=self.props(), will_props=delay)

    def on_connected(self, present):
        if self.delay:
            self.never.add(self.number)  # we are always back before

    def abort(self):
        if self.is_connected and not self.delay:
            self.due.add(self.number)
        super().abort()

    def leave(self, reason=0):
        if not reason:
            self.is_connected = False  # no will
        super().leave(reason)


class Heir(Receiver):
    """Hears of wills; one may come again."""

    def __init__(self, name, version, testators):
        super().__init__(name, version, [("will/#", 1)], [])
        self.testators = {f"will/{testator.name}": testator for testator in testators}
        self.heard = {topic: set() for topic in self.testators}

    def on_subscribed(self):
        super().on_subscribed()
        for testator in self.testators.values():  # whatever was published before, nobody heard
            testator.due.clear()

    def on_publish(self, message):
        number = number_of(message, payload_of)
        self.fail_if(number in self.testators[message.topic].never, f"{message.topic} {number} was withdrawn, and comes")
        self.heard[message.topic].add(number)
        self.answer_message(message)

    def missing(self):
        for topic, testator in self.testators.items():
            lost = testator.due - self.heard[topic]
            if lost:
                return f"{topic}: {sorted(lost)} of {len(testator.due)} are missing"
        return None
