"""Clients that keep a connection busy and know what they were promised, for the drills.

A Publisher numbers what it publishes and keeps a window of it under way. After a lost connection it begins again with the
oldest message that was not acknowledged, as a client of MQTT does. A Sequence is the other end: what has arrived there.
"""
import selectors
import struct
import threading

import gateway
import raw
from gateway import check


class Publisher:
    """Messages 1, 2, 3, …; `acked` is the last of those that were acknowledged without a gap."""

    window = 16
    limit = 1 << 62  # the last it may send for now

    def __init__(self, name, version, qos):
        self.name, self.version, self.qos = name, version, qos
        self.acked = self.sent = self.highest = 0
        self.socket = self.reader = None

    def message(self, number):
        """Topic and payload: recognisable in every byte, of many sizes."""
        return self.name, payload_of(number)

    def attach(self, port):
        self.socket = raw.open_socket(port)
        self.reader = raw.Reader(self.version)
        self.sent = self.acked
        self.socket.sendall(raw.connect(self.name, self.version) + self.greeting())
        self.fill()

    def greeting(self):
        return b""

    def detach(self):
        """The daemon is dead: what it had said before is still there to be read."""
        if not self.socket:
            return
        try:
            self.socket.settimeout(gateway.LONG)
            while self.on_readable(fill=False):
                pass
        finally:
            self.socket.close()
            self.socket = None

    def fill(self):
        out = []
        while self.sent - self.acked < self.window and self.sent < self.limit:
            self.sent += 1
            topic, payload = self.message(self.sent)
            out.append(raw.publish(topic, payload, self.qos, self.id_of(self.sent), self.version, self.retain(),
                                   self.sent <= self.highest))
        self.highest = max(self.highest, self.sent)
        if out:
            self.send(b"".join(out))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has been killed; the end of the connection says so, too

    def retain(self):
        return False

    @staticmethod
    def id_of(number):
        return (number - 1) % 65535 + 1

    def on_readable(self, fill=True):
        """False when the connection is over, which is expected when no more is to be sent."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        if not data:
            return False
        released = []
        for packet in self.reader.feed(data):
            if packet.kind in (raw.PUBACK, raw.PUBREC):
                check(packet.reason < 0x80, f"{self.name}: refused with 0x{packet.reason:02x}")
                check(packet.packet_id == self.id_of(self.acked + 1),
                      f"{self.name}: acknowledgements come in the order of the messages")
                self.acked += 1
                if packet.kind == raw.PUBREC:
                    released.append(raw.acknowledge(raw.PUBREL, packet.packet_id))
            elif packet.kind == raw.PUBLISH:
                self.on_message(packet.message())
            elif packet.kind == raw.CONNACK:
                check(packet.reason == 0, f"{self.name}: CONNECT refused with 0x{packet.reason:02x}")
            elif packet.kind == raw.DISCONNECT:
                check(not fill and packet.reason == 0x8B, f"{self.name}: DISCONNECT 0x{packet.reason:02x}")
            else:
                check(packet.kind in (raw.SUBACK, raw.PUBCOMP), f"{self.name}: unexpected {packet}")
        if released:
            self.send(b"".join(released))
        if fill:
            self.fill()
        return True

    def on_message(self, message):
        raise AssertionError(f"{self.name}: unexpected {message}")

    def abort(self):
        if self.socket:
            self.socket.close()
            self.socket = None


def payload_of(number):
    return struct.pack("!Q", number) + bytes([number % 251]) * (number % 97 + number % 1013 % 2 * 300)


def number_of(topic, payload):
    number = struct.unpack_from("!Q", payload)[0]
    check(payload == payload_of(number), f"{topic}: message {number} is as it was sent")
    return number


class Sequence:
    """Numbers as they arrive somewhere: none may be left out, but one may come again."""

    def __init__(self):
        self.highest = {}
        self.count = 0

    def take(self, topic, payload):
        number = number_of(topic, payload)
        before = self.highest.get(topic, 0)
        check(number <= before + 1, f"{topic}: {before} is followed by {number}")
        self.highest[topic] = max(before, number)
        self.count += 1
        return number

    def complete(self, publisher):
        found = self.highest.get(publisher.name, 0)
        return publisher.acked <= found <= publisher.highest


class Load(threading.Thread):
    """Publishers at work until stop(). `rates`: messages of each that may be sent every tick of 10 ms; burst() allows
    more at once."""

    def __init__(self, port, publishers, rates):
        super().__init__(daemon=True)
        self.port, self.publishers, self.rates = port, publishers, rates
        self.ended = threading.Event()
        self.error = None
        for publisher in publishers:
            publisher.limit = publisher.acked
        self.start()

    def run(self):
        try:
            with selectors.DefaultSelector() as selector:
                for publisher in self.publishers:
                    publisher.attach(self.port)
                    selector.register(publisher.socket, selectors.EVENT_READ, publisher)
                while not self.ended.is_set():
                    self.tick(selector)
        except Exception as error:  # stop() tells
            self.error = error
        finally:
            for publisher in self.publishers:
                publisher.abort()

    def tick(self, selector):
        for publisher, rate in zip(self.publishers, self.rates):
            publisher.limit += rate
            publisher.fill()
        while ready := selector.select(0.01):
            for key, _ in ready:
                check(key.data.on_readable(), f"{key.data.name}: the daemon closes the connection")
            if self.ended.is_set():
                return

    def burst(self, publisher, count):
        """Waits until so many more have been acknowledged."""
        goal = publisher.acked + count
        publisher.limit += count
        gateway.wait_for(lambda: publisher.acked >= goal or self.error, f"{publisher.name}: {count} are acknowledged")
        self.fail_if_broken()

    def fail_if_broken(self):
        if self.error:
            raise self.error

    def stop(self):
        self.ended.set()
        self.join(gateway.LONG)
        self.fail_if_broken()
