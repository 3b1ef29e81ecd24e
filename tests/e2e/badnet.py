"""A bad network of the test's own: two namespaces with a cable between them, and what goes wrong on it.

    gateway's side  gw 10.77.0.1 ──────────── 10.77.0.2 cloud  the other side

The cable's ends have a rate (tbf) and a loss (nft), it can be pulled, connections can be killed, and the name server and a
relay on the other side do as they are told. Everything is made anew and goes away with the namespaces.
"""
import os
import socket
import ctypes
import struct
import subprocess
import threading
import time

import gateway
from gateway import Skip, find_tool

HERE, THERE = "10.77.0.1", "10.77.0.2"
CLONE_NEWNET = 0x40000000
TCP_USER_TIMEOUT = 18


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Namespace:
    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words, check=True):
        return run("ip", "netns", "exec", self.name, *words, check=check)

    def socket(self, kind=socket.SOCK_STREAM):
        """A socket that lives there: a thread may visit another network for as long as it takes to make one."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.name}", "rb") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                made = socket.socket(socket.AF_INET, kind)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                return made
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def server(self, port=0):
        door = self.socket()
        door.bind((THERE, port))
        door.listen(64)
        return door

    def end(self):
        run("ip", "netns", "del", self.name, check=False)


class Network:
    """The two and the cable. Rates in bits a second."""

    def __init__(self):
        if os.getuid() != 0:
            raise Skip("network namespaces need root")
        for tool in ("ip", "tc", "nft", "ss"):
            find_tool(tool)
        tag = f"gh{os.getpid() % 100000}"
        self.parts = []
        self.dns_folder = f"/etc/netns/{tag}a"
        try:
            self.here, self.there = self.add(tag + "a"), self.add(tag + "b")
            run("ip", "link", "add", "dev", "gw0", "netns", self.here.name, "type", "veth", "peer", "name", "cl0", "netns",
                self.there.name)
            self.here.run("ip", "addr", "add", HERE + "/24", "dev", "gw0")
            self.there.run("ip", "addr", "add", THERE + "/24", "dev", "cl0")
            os.makedirs(self.dns_folder, exist_ok=True)
            with open(self.dns_folder + "/resolv.conf", "w", encoding="ascii") as file:
                file.write(f"nameserver {THERE}\noptions timeout:1 attempts:2\n")
            self.up()
        except AssertionError as error:
            self.end()
            raise Skip(f"no network namespaces here: {error}") from error

    def add(self, name):
        made = Namespace(name)
        self.parts.append(made)
        return made

    def ends(self):
        return (self.here, "gw0"), (self.there, "cl0")

    def up(self):
        for part, device in self.ends():
            part.run("ip", "link", "set", "dev", device, "up")

    def down(self):
        self.there.run("ip", "link", "set", "dev", "cl0", "down")

    def rate(self, bits):
        """None: as fast as it goes."""
        for part, device in self.ends():
            part.run("tc", "qdisc", "del", "dev", device, "root", check=False)
            if bits:
                part.run("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{bits}bit", "burst", "1600", "limit",
                         "30000")

    def loss(self, percent):
        for part, device in self.ends():
            part.run("nft", "flush", "ruleset")
            if percent:
                part.run("nft", f"add table ip bad; add chain ip bad in {{ type filter hook input priority 0; }}; "
                         f"add rule ip bad in iifname {device} numgen random mod 1000 < {int(percent * 10)} counter drop")

    def kill_connections(self):
        """How many there were."""
        before = self.here.run("ss", "-tnH", "dst", THERE).count("ESTAB")
        self.here.run("ss", "-K", "-t", "dst", THERE, check=False)
        return before

    def sent_bytes(self):
        """On the wire, from the gateway's side."""
        return int(self.here.run("cat", "/sys/class/net/gw0/statistics/tx_bytes"))

    def end(self):
        for part in self.parts:
            part.end()
        try:
            os.remove(self.dns_folder + "/resolv.conf")
            os.rmdir(self.dns_folder)
        except OSError:
            pass


class NameServer(threading.Thread):
    """Says that every name is the other side's address, or nothing."""

    def __init__(self, network):
        super().__init__(daemon=True)
        self.speaks = threading.Event()
        self.asked = 0
        self.door = network.there.socket(socket.SOCK_DGRAM)
        self.door.bind((THERE, 53))
        self.start()

    def run(self):
        while True:
            try:
                question, who = self.door.recvfrom(1500)
            except OSError:
                return
            self.asked += 1
            if self.speaks.is_set():
                try:
                    self.door.sendto(self.answer(question), who)
                except OSError:
                    pass  # the cable is pulled

    @staticmethod
    def answer(question):
        end = question.index(b"\0", 12) + 5
        is_v4 = question[end - 4:end - 2] == b"\0\1"
        head = question[:2] + b"\x81\x80" + b"\0\1" + (b"\0\1" if is_v4 else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 5, 4) + socket.inet_aton(THERE)
        return head + question[12:end] + (record if is_v4 else b"")

    def end(self):
        self.door.close()


class Relay(threading.Thread):
    """Between the gateway and the broker, on the other side: bytes arrive `delay` seconds later in each direction, more or less
    by `jitter`, in order. While it is mute it accepts and says nothing."""

    def __init__(self, network, target, delay=0.0, jitter=0.0):
        super().__init__(daemon=True)
        self.network, self.target, self.delay, self.jitter = network, target, delay, jitter
        self.mute = threading.Event()
        self.accepted = 0
        self.open = []
        self.door = network.there.server()
        self.port = self.door.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            self.accepted += 1
            self.open.append(near)
            if self.mute.is_set():
                continue
            try:
                far = self.network.there.socket()
                far.connect((THERE, self.target))
            except OSError:
                near.close()
                continue
            self.open.append(far)
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        """A thread takes bytes and another one gives them when their time has come: so a delay is no rate."""
        waiting, there_is = [], threading.Condition()

        def give():
            due = 0.0
            try:
                while True:
                    with there_is:
                        while not waiting:
                            there_is.wait()
                        came, data = waiting.pop(0)
                    wobble = (int.from_bytes(os.urandom(2), "big") / 65535 * 2 - 1) * self.jitter
                    due = max(due, came + max(0.0, self.delay + wobble))
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not data:
                        break
                    sink.sendall(data)
            except OSError:
                pass
            gateway.cut(source)
            gateway.cut(sink)

        threading.Thread(target=give, daemon=True).start()
        data = b"."
        while data:
            try:
                data = source.recv(4096)
            except OSError:
                data = b""
            with there_is:
                waiting.append((time.monotonic(), data))
                there_is.notify()

    def cut_all(self):
        for end in self.open:
            gateway.cut(end)
        self.open.clear()

    def end(self):
        self.door.close()
        self.cut_all()
