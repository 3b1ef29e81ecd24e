"""A small MQTT client that says exactly what it is told, 3.1.1 (version 4) and 5.0, over TCP, TLS or a Unix socket.

Stock clients hide what these tests are about: which acknowledgement came, in which order, before the socket ended. The
functions make packets; Reader takes bytes apart; Client is a blocking client for tests that go step by step. Drills that
keep many connections busy use the first two with a selector of their own.
"""
import collections
import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

SESSION_EXPIRY, WILL_DELAY, RECEIVE_MAX = 0x11, 0x18, 0x21  # properties of CONNECT and of a will

LONG = 60  # seconds until a wait gives up; nothing is expected to take that long


class Closed(Exception):
    """The other side has closed the connection."""


class Timeout(Exception):
    """Nothing came for a long time."""


# ---- making packets ---------------------------------------------------------------------------------------------------


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def length(number):
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + length(len(body)) + body


def properties(version, raw=b""):
    return length(len(raw)) + raw if version == 5 else b""


def connect(client_id, version=4, clean=True, keepalive=0, will=None, props=b"", will_props=b"", user=None,
            password=None):
    """will: (topic, payload, qos, retain)"""
    flags = 2 if clean else 0
    body = text(client_id)
    if will:
        topic, payload, qos, retain = will
        flags |= 4 | qos << 3 | (0x20 if retain else 0)
        body += properties(version, will_props) + text(topic) + text(payload)
    for value, flag in ((user, 0x80), (password, 0x40)):
        if value is not None:
            flags |= flag
            body += text(value)
    head = text("MQTT") + bytes([version, flags]) + struct.pack("!H", keepalive)
    return packet(CONNECT, 0, head + properties(version, props) + body)


def publish(topic, payload, qos=0, packet_id=0, version=4, retain=False, again=False):
    body = text(topic)
    if qos:
        body += struct.pack("!H", packet_id)
    return packet(PUBLISH, qos << 1 | retain | again << 3, body + properties(version) + payload)


def acknowledge(kind, packet_id):
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack("!H", packet_id))


def subscribe(packet_id, filters, version=4):
    """filters: (filter, options), …"""
    body = struct.pack("!H", packet_id) + properties(version)
    return packet(SUBSCRIBE, 2, body + b"".join(text(name) + bytes([options]) for name, options in filters))


def unsubscribe(packet_id, filters, version=4):
    body = struct.pack("!H", packet_id) + properties(version)
    return packet(UNSUBSCRIBE, 2, body + b"".join(text(name) for name in filters))


# ---- taking them apart ------------------------------------------------------------------------------------------------


class Packet:
    __slots__ = ("kind", "flags", "body", "version")

    def __init__(self, kind, flags, body, version):
        self.kind, self.flags, self.body, self.version = kind, flags, body, version

    def __repr__(self):
        return f"packet {self.kind} flags {self.flags} {self.body[:40].hex(' ')}"

    @property
    def packet_id(self):
        return struct.unpack_from("!H", self.body)[0]

    @property
    def reason(self):
        """Of an acknowledgement (3.1.1 has none: 0), a CONNACK, or a DISCONNECT."""
        if self.kind == CONNACK:
            return self.body[1]
        at = 0 if self.kind == DISCONNECT else 2
        return self.body[at] if len(self.body) > at else 0

    @property
    def reasons(self):
        """Of a SUBACK or UNSUBACK."""
        at = 2
        if self.version == 5:
            size, at = read_length(self.body, at)
            at += size
        return list(self.body[at:])

    @property
    def session_present(self):
        return self.body[0] & 1 == 1

    def message(self):
        return Message(self)


class Message:
    """What a PUBLISH carries."""
    __slots__ = ("topic", "payload", "qos", "retain", "again", "packet_id")

    def __init__(self, source):
        body = source.body
        size = body[0] << 8 | body[1]
        at = 2 + size
        self.topic = body[2:at].decode()
        self.qos = source.flags >> 1 & 3
        self.retain = source.flags & 1 == 1
        self.again = source.flags & 8 == 8
        self.packet_id = 0
        if self.qos:
            self.packet_id = body[at] << 8 | body[at + 1]
            at += 2
        if source.version == 5:
            size, at = read_length(body, at)
            at += size
        self.payload = body[at:]

    def __repr__(self):
        return f"{self.topic} qos {self.qos}{' retained' if self.retain else ''}: {self.payload[:60]!r}"


def read_length(data, at):
    """The number and where it ends, or (None, at) when there are too few bytes."""
    number = shift = 0
    for here in range(at, min(at + 4, len(data))):
        number |= (data[here] & 0x7F) << shift
        shift += 7
        if data[here] < 0x80:
            return number, here + 1
    return None, at


class Reader:
    """Bytes in pieces of any size to packets."""

    def __init__(self, version):
        self.version = version
        self.rest = b""

    def feed(self, data):
        data = self.rest + data if self.rest else data
        packets = []
        at = 0
        while at + 2 <= len(data):
            size, start = read_length(data, at + 1)
            if size is None or start + size > len(data):
                break
            packets.append(Packet(data[at] >> 4, data[at] & 15, data[start:start + size], self.version))
            at = start + size
        self.rest = data[at:]
        return packets


# ---- a client ---------------------------------------------------------------------------------------------------------


def open_socket(address, tls=None):
    """address: a port of 127.0.0.1, or the path of a Unix socket; tls: an ssl.SSLContext."""
    if isinstance(address, int):
        opened = socket.create_connection(("127.0.0.1", address), timeout=LONG)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(LONG)
        opened.connect(address)
    return tls.wrap_socket(opened, server_hostname="localhost") if tls else opened


class Client:
    """Connects at once. Messages that come while something else is awaited are kept for message()."""

    def __init__(self, address, client_id="", version=4, tls=None, **options):
        self.version = version
        self.reader = Reader(version)
        self.packets = collections.deque()
        self.messages = collections.deque()
        self.last_id = 0
        self.socket = open_socket(address, tls)
        self.send(connect(client_id, version, **options))
        self.connack = self.expect(CONNACK)
        if self.connack.reason:
            raise AssertionError(f"CONNECT was refused: 0x{self.connack.reason:02x}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abort()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, timeout=LONG):
        """The next packet, whatever it is."""
        end = time.monotonic() + timeout
        while not self.packets:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError as error:
                raise Timeout from error
            except ConnectionResetError as error:
                raise Closed from error
            if not data:
                raise Closed
            self.packets.extend(self.reader.feed(data))
            self.socket.settimeout(LONG)
        return self.packets.popleft()

    def expect(self, kind, timeout=LONG):
        """The next packet of this kind; messages on the way are acknowledged and kept."""
        while True:
            found = self.receive(timeout)
            if found.kind == kind and kind != PUBLISH:
                return found
            if found.kind == PUBLISH:
                self.keep(found.message())
                if kind == PUBLISH:
                    return found
            elif found.kind == PUBREL:
                self.send(acknowledge(PUBCOMP, found.packet_id))
            elif found.kind == DISCONNECT:
                raise Closed(f"DISCONNECT 0x{found.reason:02x}")

    def keep(self, message):
        self.messages.append(message)
        if message.qos:
            self.send(acknowledge(PUBACK if message.qos == 1 else PUBREC, message.packet_id))

    def message(self, timeout=LONG):
        """The oldest message that was not taken yet."""
        while not self.messages:
            self.expect(PUBLISH, timeout)
        return self.messages.popleft()

    def next_id(self):
        self.last_id = self.last_id % 65535 + 1
        return self.last_id

    def subscribe(self, *filters, qos=1):
        """What was granted."""
        self.send(subscribe(self.next_id(), [(name, qos) for name in filters], self.version))
        return self.expect(SUBACK).reasons

    def publish(self, topic, payload, qos=1, retain=False):
        """Waits for what acknowledges it; its reason code."""
        payload = payload.encode() if isinstance(payload, str) else payload
        packet_id = self.next_id() if qos else 0
        self.send(publish(topic, payload, qos, packet_id, self.version, retain))
        if qos == 0:
            return 0
        reason = self.expect(PUBACK if qos == 1 else PUBREC).reason
        if qos == 2 and reason < 0x80:
            self.send(acknowledge(PUBREL, packet_id))
            self.expect(PUBCOMP)
        return reason

    def ping(self):
        """Everything sent before has been read by the other side when this returns."""
        self.send(packet(PINGREQ, 0, b""))
        self.expect(PINGRESP)

    def is_closed(self, timeout=LONG):
        """Waits for the end of the connection."""
        try:
            while True:
                self.receive(timeout)
        except Closed:
            return True
        except Timeout:
            return False

    def disconnect(self):
        try:
            self.send(packet(DISCONNECT, 0, b""))
        except Closed:
            pass
        self.abort()

    def abort(self):
        """Without a word, as when a cable is pulled."""
        self.socket.close()
