#!/usr/bin/python3
"""Memory does not know how much is waiting: a stream's backlog grows, the daemon is killed and started, the backlog drains.

    tests/e2e/test_backlog.py BUILD [--size 10G]

The records are real and on disk: there must be room for --size and a fifth of it. What is looked at is the daemon's own
memory (RssAnon); what the kernel caches of the files is the kernel's.
"""
import argparse
import socket
import struct
import tempfile

import gateway
import raw
from gateway import check, wait_for

PAYLOAD = 60 * 1024
CHUNK = 32  # records under way
SMALL = 8 << 20
GROWTH_MAX = 8 << 20  # of the daemon's memory: a window of 64 records twice, and nothing by the backlog
DRAINED = 300  # records whose arrival is looked at
CONFIG = """
[uplink cloud]
uri = mqtt://127.0.0.1:{cloud}
[stream big]
uplink = cloud
segment-size = 64M
max-size = {max_size}
[route big]
filter = big/#
stream = big
"""


def size_of(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


class Scene:
    def __init__(self, gw, cloud, size, measures):
        self.gw, self.cloud, self.size, self.measures = gw, cloud, size, measures
        self.sent = 0
        self.filler = bytes(PAYLOAD - 8)
        self.least = None

    def append(self, until):
        """Publishes until the backlog has so many bytes, all of it acknowledged."""
        with socket.create_connection(("127.0.0.1", self.gw.port())) as link:
            link.sendall(raw.connect("filler"))
            self.read(link, 4)
            while self.sent * PAYLOAD < until:
                for _ in range(CHUNK):
                    link.sendall(raw.publish("big/a", struct.pack("!Q", self.sent) + self.filler, 1, self.sent % 60000 + 1))
                    self.sent += 1
                answers = self.read(link, 4 * CHUNK)
                check(answers[::4] == bytes([raw.PUBACK << 4]) * CHUNK, "every record is acknowledged")

    @staticmethod
    def read(link, size):
        link.settimeout(raw.LONG)
        data = b""
        while len(data) < size:
            more = link.recv(size - len(data))
            check(more, "the connection stays")
            data += more
        return data

    def memory(self):
        with open(f"/proc/{self.gw.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon"))

    def check_memory(self, when):
        found = self.memory()
        print(f"          {when}: {found >> 10} KiB, {self.gw.stream('big')['pending']} records wait")
        if self.measures:
            check(found <= self.least + GROWTH_MAX, f"{when}: {found >> 10} KiB beside {self.least >> 10} KiB")

    def small(self):
        self.append(SMALL)
        self.least = self.memory()
        self.check_memory(f"{SMALL >> 20} MiB")

    def grows(self):
        self.append(self.size)
        self.check_memory(f"{self.size >> 20} MiB")

    def starts(self):
        self.gw.restart()
        stream = self.gw.stream("big")
        check(stream["pending"] == self.sent, f"{stream['pending']} of {self.sent} records wait after a kill")
        self.check_memory("after a kill")

    def drains(self):
        ear = gateway.Ear(self.cloud.port, "#", name="ear")
        numbers = []
        highest = 0

        def arrived():
            nonlocal highest
            while ear.heard:
                numbers.append(struct.unpack_from("!Q", ear.heard.popleft().payload)[0])
            highest = max(highest, self.memory())
            return len(numbers) >= DRAINED
        wait_for(arrived, f"{DRAINED} records arrive")
        self.gw.ctl("uplink/cut", b'{"name":"cloud"}')
        ear.end()
        first = list(dict.fromkeys(numbers))
        check(first == list(range(len(first))), "they arrive in order and none is missing")
        print(f"          at most {highest >> 10} KiB while it drains")
        if self.measures:
            check(highest <= self.least + GROWTH_MAX, f"{highest >> 10} KiB beside {self.least >> 10} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--size", type=size_of, default=size_of("256M"))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    sanitized = suite.is_sanitized()
    size = min(options.size, 32 << 20) if sanitized else options.size  # a sanitizer keeps what was freed
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-", dir="/var/tmp") as folder:
        cloud = gateway.Cloud(folder)
        cloud.stop()
        config = CONFIG.format(cloud=cloud.port, max_size=f"{(size >> 20) * 6 // 5 + 128}M")
        with gateway.Gateway(options.build, config, folder=folder) as gw:
            scene = Scene(gw, cloud, size, not sanitized)
            try:
                suite.run("a small backlog", scene.small)
                suite.run("a backlog grows", scene.grows)
                suite.run("a start finds all of it", scene.starts)
                cloud.start()
                suite.run("it drains in order", scene.drains)
            finally:
                cloud.end()
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
