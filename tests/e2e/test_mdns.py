#!/usr/bin/python3
"""The gateway on the local network: multicast DNS asked for, heard and disputed, as a node or somebody else's responder would.

    tests/e2e/test_mdns.py BUILD

Two network namespaces and a cable between them; nothing of it leaves this machine. Needs root.
"""
import os
import select
import signal
import socket
import struct
import sys
import time

import gateway
from badnet import HERE, THERE, Namespace, run
from gateway import check, wait_for

GROUP, GROUP6, PORT = "224.0.0.251", "ff02::fb", 5353
TYPE = "_gatehouse._tcp.local"
A, PTR, TXT, AAAA, SRV, ANY, ALONE = 1, 12, 16, 28, 33, 255, 0x8000
FAR = "203.0.113.5"


# ---- messages ---------------------------------------------------------------------------------------------------------


def name(labels):
    labels = labels.split(".") if isinstance(labels, str) else labels
    return b"".join(bytes([len(label.encode())]) + label.encode() for label in labels) + b"\0"


def question(labels, kind, flag=0):
    return name(labels) + struct.pack("!HH", kind, 1 | flag)


def record(labels, kind, ttl, data, flag=0):
    return name(labels) + struct.pack("!HHIH", kind, 1 | flag, ttl, len(data)) + data


def message(flags, questions=(), answers=()):
    return struct.pack("!6H", 0x77, flags, len(questions), len(answers), 0, 0) + b"".join([*questions, *answers])


def read_name(data, at):
    labels = []
    while data[at]:
        check(data[at] < 64, "ours are not compressed")
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


class Message:
    """What was heard: questions as (name, type), records as (name, type, ttl, data)."""

    def __init__(self, data):
        self.id, self.flags, *counts = struct.unpack("!6H", data[:12])
        self.questions, self.records = [], []
        at = 12
        for _ in range(counts[0]):
            owner, at = read_name(data, at)
            self.questions.append((owner, struct.unpack("!H", data[at:at + 2])[0]))
            at += 4
        for _ in range(sum(counts[1:])):
            owner, at = read_name(data, at)
            kind, _, ttl, length = struct.unpack("!HHIH", data[at:at + 10])
            self.records.append((owner, kind, ttl, data[at + 10:at + 10 + length]))
            at += 10 + length

    def find(self, kind):
        return [r for r in self.records if r[1] == kind]


class Asker:
    """Who lives in a namespace, on the interface `device`."""

    def __init__(self, place, device, port=PORT, address="0.0.0.0"):
        self.socket = place.socket(socket.SOCK_DGRAM)
        index = int(place.run("cat", f"/sys/class/net/{device}/ifindex")) if device else 0
        self.socket.bind((address, port))
        if device:
            group = socket.inet_aton(GROUP) + socket.inet_aton("0.0.0.0") + struct.pack("i", index)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

    def say(self, data):
        self.socket.sendto(data, (GROUP, PORT))

    def hear(self, timeout):
        """A message, or None."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        return Message(self.socket.recv(9000))

    def hear_until(self, wanted, sentence, timeout=gateway.LONG):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            heard = self.hear(end - time.monotonic())
            if heard and wanted(heard):
                return heard
        raise AssertionError("is not heard: " + sentence)

    def ask(self, data, wanted, sentence):
        """Asks again until it is heard: a datagram may be lost, and a second has to go by between two answers to all."""
        for _ in range(30):
            self.say(data)
            try:
                return self.hear_until(wanted, sentence, 1)
            except AssertionError:
                continue
        raise AssertionError("is not answered: " + sentence)

    def end(self):
        self.socket.close()


def is_news(heard):
    return bool(heard.flags & 0x8000) and any(r[1] == PTR and r[2] for r in heard.records)


# ---- the place --------------------------------------------------------------------------------------------------------


class Place:
    def __init__(self):
        if os.getuid() != 0:
            raise gateway.Skip("network namespaces need root")
        gateway.find_tool("ip")
        tag = f"gm{os.getpid() % 100000}"
        self.parts = []
        try:
            self.here, self.there = self.add(tag + "a"), self.add(tag + "b")
            run("ip", "link", "add", "dev", "gw0", "netns", self.here.name, "type", "veth", "peer", "name", "cl0", "netns",
                self.there.name)
            for part, device, address in ((self.here, "gw0", HERE), (self.there, "cl0", THERE)):
                part.run("sh", "-c", f"echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/{device}/rp_filter")
                part.run("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{device}/accept_dad", check=False)
                part.run("ip", "addr", "add", address + "/24", "dev", device)
                part.run("ip", "link", "set", "dev", device, "up")
            self.there.run("ip", "addr", "add", FAR + "/32", "dev", "lo")
            self.here.run("ip", "route", "add", FAR, "via", THERE)
        except AssertionError as error:
            self.end()
            raise gateway.Skip(f"no network namespaces here: {error}") from error

    def add(self, title):
        made = Namespace(title)
        self.parts.append(made)
        return made

    def gateway(self, suite, config=""):
        return gateway.Gateway(suite.build, config, (gateway.OPEN, "mqtts+psk://[::]:0"),
                               prefix=("ip", "netns", "exec", self.here.name))

    def end(self):
        for part in self.parts:
            part.end()


def instance(number=1):
    return f"Gatehouse on {socket.gethostname().split('.')[0]}{f' ({number})' if number > 1 else ''}." + TYPE


def labels():
    return [instance().split(".")[0], *TYPE.split(".")]


# ---- tests ------------------------------------------------------------------------------------------------------------


def announced(asker, gw):
    check(asker.hear_until(lambda m: not m.flags and (instance(), ANY) in m.questions, "a probe"), "it asks for its name first")
    news = asker.hear_until(is_news, "its announcement")
    port = gw.port(r"mqtts\+psk")
    check(news.find(PTR)[-1][3] == name(labels()), f"the service: {news.records}")
    check(struct.unpack("!3H", news.find(SRV)[0][3][:6]) == (0, 0, port), f"its port {port}: {news.find(SRV)}")
    check([r[3] for r in news.find(A)] == [socket.inet_aton(HERE)], f"its address: {news.find(A)}")
    fingerprint = ("ca=" + gw.ask("ca", "show")["id"]).encode()
    check(news.find(TXT)[0][3] == b"\x03v=1" + bytes([len(fingerprint)]) + fingerprint, f"the authority: {news.find(TXT)}")
    asker.hear_until(is_news, "its second announcement")


def answered(asker, place):
    asker.ask(message(0, [question(TYPE, PTR)]), is_news, "a question, to all")
    known = record(TYPE, PTR, 4500, name(labels()))
    time.sleep(1.1)  # a second has to be over in any case; then nothing is what must come
    asker.say(message(0, [question(TYPE, PTR)], [known]))
    check(asker.hear(0.3) is None, "who knows it already is told nothing")
    alone = asker.ask(message(0, [question(TYPE, PTR, ALONE)]), is_news, "a question, to the asker alone")
    check(alone.find(SRV) and alone.find(TXT), "with all that he will ask for next")
    old = Asker(place.there, None, 0, THERE)
    heard = old.ask(message(0, [question(TYPE, PTR)]), is_news, "a question from another port")
    check(heard.id == 0x77 and heard.questions == [(TYPE, PTR)] and heard.find(PTR)[0][2] <= 10, f"as a name server: {heard.records}")
    old.end()


def only_near(place):
    far = Asker(place.there, None, 0, FAR)
    near = Asker(place.there, None, 0, THERE)
    for asker in (far, near):
        asker.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(THERE))
    far.say(message(0, [question(TYPE, PTR)]))
    near.ask(message(0, [question(TYPE, PTR)]), is_news, "somebody near")
    check(far.hear(0) is None, "nobody is told who is not on the network")
    far.end()
    near.end()


def moved(asker, place):
    place.here.run("ip", "addr", "add", "192.0.2.77/24", "dev", "gw0", "label", "gw0:1")
    heard = asker.hear_until(lambda m: is_news(m) and len(m.find(A)) == 2, "the addresses that it has now")
    check(socket.inet_aton("192.0.2.77") in [r[3] for r in heard.find(A)], f"{heard.find(A)}")
    place.here.run("ip", "addr", "del", "192.0.2.77/24", "dev", "gw0")


def over_ipv6(place):
    index = int(place.there.run("cat", "/sys/class/net/cl0/ifindex"))
    script = (f"import socket,sys\ns=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\ns.settimeout(1)\n"
              f"for i in range(10):\n s.sendto(bytes.fromhex('{message(0, [question(TYPE, PTR)]).hex()}'),('{GROUP6}',{PORT},0,{index}))\n"
              f" try:\n  print(s.recv(9000).hex())\n  break\n except TimeoutError: pass\n")
    heard = place.there.run(sys.executable, "-c", script).strip()
    check(heard and is_news(Message(bytes.fromhex(heard))), "an answer over IPv6")
    check(Message(bytes.fromhex(heard)).find(AAAA), "with its address")


def disputed(asker, gw):
    gw.kill()
    gw.launch()
    asker.hear_until(lambda m: not m.flags and (instance(), ANY) in m.questions, "a probe")
    asker.say(message(0x8400, answers=[record(labels(), SRV, 120,
                                              struct.pack("!3H", 0, 0, 1) + name("other.local"), 0x8000)]))
    heard = asker.hear_until(lambda m: is_news(m) and m.find(SRV)[0][0] == instance(2), "another name")
    check(name("other.local") not in heard.find(SRV)[0][3], "which is its own")


def gone(asker, gw):
    gw.process.send_signal(signal.SIGTERM)
    asker.hear_until(lambda m: m.flags & 0x8000 and all(r[2] == 0 for r in m.records) and m.find(SRV), "its goodbye")
    gw.process.stderr.close()
    check(gw.process.wait(gateway.LONG) == 0, "and it ends")


def beside_others(suite, place, asker):
    other = Asker(place.here, "gw0")
    with place.gateway(suite) as gw:
        wait_for(lambda: gw.logged("another service of this machine answers on port 5353"), "that somebody else answers is said")
    other.end()
    with place.gateway(suite, "mdns = no\n") as gw:
        gw.cli("status")
    while heard := asker.hear(0.3):
        check(not any(TYPE in q[0] for q in heard.questions), "and says nothing of itself")


def main():
    suite = gateway.Suite(sys.argv[1])
    place = Place()
    try:
        asker = Asker(place.there, "cl0")
        suite.run("when another responder runs, or it is not wanted, nothing is announced", beside_others, suite, place, asker)
        with place.gateway(suite) as gw:
            suite.run("the gateway is announced, with its port and the fingerprint of its authority", announced, asker, gw)
            suite.run("who asks is answered: to all, alone, as a name server does, and not if he knows", answered, asker, place)
            suite.run("who is not on the network is not answered", only_near, place)
            suite.run("who asks over IPv6 is answered", over_ipv6, place)
            suite.run("another address is announced", moved, asker, place)
            suite.run("a name that somebody has is not taken", disputed, asker, gw)
            suite.run("at the end it is taken back", gone, asker, gw)
        asker.end()
    finally:
        place.end()
    return suite.end()


gateway.run(main)
