#!/usr/bin/python3
"""Bad input from outside: garbage on every listener, broken configurations, wrong usage, doors that cannot be opened, signals.

    tests/e2e/test_bad_input.py BUILD [--seconds N] [--seed N]

What is damaged on disk or does not fit there is in test_state.py.
"""
import argparse
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import gateway
import raw
import seglog
from drill import Load, Publisher, Sequence
from gateway import check

# ---- garbage ----------------------------------------------------------------------------------------------------------


class Garbage:
    """Attacks every door of a gateway while a client of each version goes about its work and must not notice."""

    def __init__(self, gw, doors, rng):
        self.gw, self.doors, self.rng = gw, doors, rng
        self.workers = [gw.client(f"worker-{version}", version=version) for version in (4, 5)]
        for worker in self.workers:
            worker.subscribe("work/#")
        self.round = 0

    def work(self):
        self.round += 1
        for worker in self.workers:
            worker.publish("work/all", str(self.round))
        for worker in self.workers:
            for _ in self.workers:
                check(worker.message().payload == str(self.round).encode(), "the others' messages come and go")

    def talk(self, address, tls, data):
        """Says it, listens for a moment to what is said, and hangs up."""
        try:
            with raw.open_socket(address, tls) as opened:
                opened.settimeout(0.01)
                opened.sendall(data)
                while opened.recv(65536):
                    pass
        except (TimeoutError, OSError):
            return  # it was thrown out while it was still talking, as it should be

    def conversation(self):
        """A client's packets, valid, one after the other."""
        version = self.rng.choice((4, 5))
        packets = [raw.connect("garbage", version, clean=self.rng.random() < 0.5, keepalive=self.rng.randrange(3),
                               will=("will/garbage", "bye", self.rng.randrange(3), False))]
        for packet_id in range(1, 6):
            packets.append(raw.publish("garbage/" + "x" * self.rng.randrange(40), b"p" * self.rng.randrange(200),
                                       self.rng.randrange(3), packet_id, version, self.rng.random() < 0.2))
            packets.append(raw.subscribe(packet_id, [(self.rng.choice(("garbage/+", "#", "$SYS/#", "a/+/b")), 2)], version))
            packets.append(raw.acknowledge(self.rng.choice((raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP)), packet_id))
            packets.append(raw.packet(raw.PINGREQ, 0, b""))
        return b"".join(packets)

    def noise(self):
        return self.rng.randbytes(self.rng.randrange(1, 600))

    def damaged(self):
        """A conversation with a few bytes changed, left out or doubled, or its end missing."""
        data = bytearray(self.conversation())
        for _ in range(self.rng.randrange(1, 5)):
            at = self.rng.randrange(len(data))
            kind = self.rng.randrange(4)
            if kind == 0:
                data[at] = self.rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << self.rng.randrange(8)
            elif kind == 2:
                del data[at:at + self.rng.randrange(1, 9)]
            else:
                data[at:at] = data[at:at + self.rng.randrange(1, 9)]
        return bytes(data)

    def behind_connect(self):
        return raw.connect("garbage", self.rng.choice((4, 5))) + self.noise()

    def too_long(self):
        """A packet that says that it is larger than the largest, and one that never ends its length."""
        return raw.connect("garbage", 5) + self.rng.choice((b"\x30\xff\xff\xff\x7f", b"\x30\xff\xff\xff\xff\xff")) + b"x" * 100

    def other_protocol(self):
        return self.rng.choice((b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 300, b"\xff" * 300))

    def frame(self, payload):
        """Of WebSocket, with a mask that changes nothing."""
        first = self.rng.choice((0x82, 0x82, 0x82, 0x82, 0x82, 0x02, 0x80, 0x89, 0x88, 0x81, self.rng.randrange(256)))
        size = len(payload)
        return bytes([first]) + (bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")) + bytes(4) + payload

    def web(self):
        """A WebSocket request, and behind it a damaged conversation in frames, or noise."""
        request = (b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
        if self.rng.random() < 0.2:
            return request + self.noise()
        data, frames = self.damaged(), []
        while data:
            size = self.rng.randrange(1, 300)
            frames.append(self.frame(data[:size]))
            data = data[size:]
        return request + b"".join(frames)

    def burst(self, count):
        kinds = (self.noise, self.damaged, self.damaged, self.behind_connect, self.too_long, self.other_protocol, self.web)
        for _ in range(count):
            address, tls = self.rng.choice(self.doors)
            self.talk(address, tls, self.rng.choice(kinds)())
        self.work()

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.burst(20)
            check(self.gw.is_running(), "the daemon runs")
        print(f"          {self.round * 20} conversations")


def half_a_packet(gw, doors):
    """Connections that stop in the middle of something cost nobody else anything."""
    waiting = []
    for address, tls in doors * 10:
        opened = raw.open_socket(address, tls)
        opened.sendall(raw.connect("half")[:7])
        waiting.append(opened)
    with gw.client("whole") as client:
        client.subscribe("whole")
        client.publish("whole", "x")
        check(client.message().payload == b"x", "somebody else is served")
    for opened in waiting:
        opened.close()


def first_packet_is_not_connect(doors):
    for address, tls in doors:
        with raw.open_socket(address, tls) as opened:
            opened.sendall(raw.packet(raw.PINGREQ, 0, b""))
            check(opened.recv(100) == b"", "the connection is closed")


def tls_strangers(gw, certificates, others):
    """Who has no certificate, or one of another CA, or does not speak TLS, does not get in."""
    port = gw.port("mqtts")
    foreign = certificates.context()
    foreign.load_cert_chain(*others.issue("pump"))
    for name, context in (("no certificate", certificates.context()), ("another CA's certificate", foreign)):
        try:  # in TLS 1.3 the client is done before the server has looked
            raw.Client(port, "stranger", tls=context)
        except (raw.Closed, ssl.SSLError, ConnectionResetError):
            continue
        raise AssertionError(f"a client with {name} gets in")
    with raw.open_socket(port) as opened:
        opened.sendall(raw.connect("plain"))
        try:
            answer = opened.recv(100)  # perhaps a TLS alert
            check(not answer or answer[0] == 0x15, f"plain MQTT at a TLS door is answered with {answer!r}")
        except ConnectionResetError:
            pass
    with raw.Client(port, "pump", tls=certificates.context("pump")) as client:
        client.ping()


# ---- configurations ---------------------------------------------------------------------------------------------------

# (what is in the file, line, words that must be in the sentence about that line)
BROKEN = (
    ("[stream s]\npriority = high\n", 2, ("[stream s]", "priority", "expected a whole number from 1 to 10", '"high"')),
    ("[stream s]\npriority = 11\n", 2, ("[stream s]", "priority", "from 1 to 10", '"11"')),
    ("[stream s]\npriority = -1\n", 2, ("[stream s]", "priority", "from 1 to 10", '"-1"')),
    ("[stream s]\npriority = 99999999999999999999\n", 2, ("priority", "from 1 to 10")),
    ("[stream s]\nmax-size = 5X\n", 2, ("[stream s]", "max-size", "expected a size", '"5X"')),
    ("[stream s]\nmax-size = 1K\n", 2, ("[stream s]", "max-size", "expected a size", '"1K"')),
    ("[stream s]\nuplink = nowhere\n", 2, ("[stream s]", "uplink", "expected the name of an [uplink]", '"nowhere"')),
    ("[stream s]\ncolour = red\n", 2, ("[stream s]", "colour", "expected", "priority", '"red"')),
    ("[stream bad name!]\n", 1, ("[stream bad name!]", "expected a name")),
    ("[stream]\n", 1, ("[stream]", "expected a name")),
    ("[router r]\n", 1, ("[router r]", "expected", "[route NAME]")),
    ("[gateway]\nlog = loud\n", 2, ("[gateway]", "log", "expected error, warning, notice, info or debug", '"loud"')),
    ("[gateway]\npacket-max = 1\n", 2, ("[gateway]", "packet-max", "expected a size", '"1"')),
    ("[gateway]\nsession-expiry = soon\n", 2, ("[gateway]", "session-expiry", "expected a time", '"soon"')),
    ("[gateway]\nlog = info\nlog = debug\n", 3, ("log", "once")),
    ("[listener l]\n", 1, ("[listener l]", "uri", "expected", "none")),
    ("[listener l]\nuri = tcp://127.0.0.1:1\n", 2, ("[listener l]", "uri", "expected mqtt://", '"tcp://127.0.0.1:1"')),
    ("[listener l]\nuri = mqtt://127.0.0.1?access=open\n", 2, ("uri", "expected HOST:PORT")),
    ("[listener l]\nuri = mqtt://127.0.0.1:99999?access=open\n", 2, ("uri", "expected a port from 0 to 65535")),
    ("[listener l]\nuri = mqtt://127.0.0.1:0\n", 2, ("uri", "expected access=open")),
    ("[listener l]\nuri = mqtt://0.0.0.0:0?access=open\n", 2, ("uri", "expected a loopback address")),
    ("[listener l]\nuri = mqtt://127.0.0.1:0?access=maybe\n", 2, ("uri", "access", "expected open", '"maybe"')),
    ("[listener l]\nuri = mqtts://127.0.0.1:0?access=open\n", 2, ("uri", "expected cert=FILE and key=FILE")),
    ("[listener l]\nuri = unix://relative\n", 2, ("uri", "expected an absolute path")),
    ("[uplink u]\nuri = ftp://example.org\n", 2, ("[uplink u]", "uri", "expected", '"ftp://example.org"')),
    ("[uplink u]\nuri = mqtt://localhost\nkeepalive = 1s\n", 3, ("[uplink u]", "keepalive", "expected a time", '"1s"')),
    ("[uplink u]\nuri = mqtt://localhost\nprotocol = 3\n", 3, ("[uplink u]", "protocol", "from 4 to 5", '"3"')),
    ("[route r]\nstream = s\n[stream s]\n", 1, ("[route r]", "filter", "expected")),
    ("[route r]\nfilter = a/#/b\nstream = s\n[stream s]\n", 2, ("[route r]", "filter", "expected an MQTT topic filter",
                                                              '"a/#/b"')),
    ("[route r]\nfilter = a\nstream = t\n", 3, ("[route r]", "stream", "expected the name of a [stream]", '"t"')),
    ("[plugin p]\npublish = a\n", 1, ("[plugin p]", "path", "expected")),
    ("[plugin p]\npath = p.so\nmemory-max = lots\n", 3, ("[plugin p]", "memory-max", "expected a size", '"lots"')),
    ("no section = yes\n", 1, ("no section", "expected a section")),
    ("[gateway]\njust words\n", 2, ("expected", "KEY = VALUE", "just words")),
    ("[gateway\nlog = info\n", 1, ("expected", "[gateway")),
    ("[gateway]\nname = \xff\xfe\n", 2, ("expected text in UTF-8",)),
    ("[gateway]\nname = a\x00b\n", 2, ("expected text, not a binary file",)),
)


class Commands:
    def __init__(self, suite, folder):
        self.program = gateway.programs(suite.build)["gatehoused"]
        self.folder = folder
        self.config = os.path.join(folder, "broken.conf")

    def run(self, *words, timeout=gateway.LONG):
        return subprocess.run([self.program, *words], capture_output=True, text=True, timeout=timeout, check=False,
                              cwd=self.folder, errors="replace")

    def write(self, text):
        with open(self.config, "wb") as file:
            file.write(text.encode("latin-1"))

    def expect(self, status, words, *needles):
        done = self.run(*words)
        check(done.returncode == status, f"{words}: status {done.returncode} instead of {status}: {done.stderr}")
        for needle in needles:
            check(needle in done.stderr, f"{words}: expected {needle!r} in {done.stderr!r}")
        return done

    def broken_configurations(self):
        for text, line, needles in BROKEN:
            self.write(text)
            done = self.expect(78, ["--config", self.config, "--check"])
            where = f"{self.config}:{line}: "
            sentences = [s for s in done.stderr.splitlines() if where in s]
            check(any(all(needle in s for needle in needles) for s in sentences),
                  f"{text!r}: expected {where}… {needles}, found {done.stderr!r}")
        print(f"          {len(BROKEN)} configurations")

    def all_at_once(self):
        self.write("[stream s]\npriority = 0\n[listener l]\nuri = x\n[gateway]\nlog = loud\n")
        self.expect(78, ["--config", self.config, "--check"], ":2: ", ":4: ", ":6: ")

    def nothing_is_started(self):
        """A daemon that was not only to check leaves nothing behind, either."""
        self.write("[stream s]\npriority = 0\n")
        state = os.path.join(self.folder, "untouched")
        self.expect(78, ["--config", self.config, "--state", state], ":2: ")
        check(not os.path.exists(state), "no state directory was made")

    def drop_ins(self):
        self.write("[gateway]\nname = a\n")
        os.mkdir(self.config + ".d")
        broken = os.path.join(self.config + ".d", "10-more.conf")
        with open(broken, "w", encoding="ascii") as file:
            file.write("[gateway]\nlog = loud\n")
        self.expect(78, ["--config", self.config, "--check"], broken + ":2: ", '"loud"')
        os.remove(broken)
        os.rmdir(self.config + ".d")
        self.expect(0, ["--config", self.config, "--check"])

    def unreadable_configurations(self):
        nowhere = os.path.join(self.folder, "nowhere.conf")
        self.expect(78, ["--config", nowhere, "--check"], nowhere, "No such file")
        self.expect(78, ["--config", self.folder, "--check"], self.folder, "directory")
        self.write("[gateway]\n" + "# filler\n" * 200_000)
        self.expect(78, ["--config", self.config, "--check"], self.config)

    def wrong_usage(self):
        for words in (["--colour"], ["--config"], ["status"], ["--state", "x", "y"], ["--listen"], ["-x"], ["--check=1"]):
            self.expect(2, words, "usage: gatehoused")
        self.expect(78, ["--listen", "nonsense", "--check"], "--listen", "expected", "nonsense")
        done = self.expect(0, ["--version"])
        check(re.fullmatch(r"gatehoused \d+\.\d+\.\d+\n", done.stdout), f"--version says {done.stdout!r}")
        check("usage: gatehoused" in self.expect(0, ["--help"]).stdout, "--help explains")

    def doors_that_cannot_open(self):
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        state = ["--state", os.path.join(self.folder, "state")]
        self.write("[gateway]\n")
        config = ["--config", self.config]
        self.expect(1, [*config, *state, "--listen", f"mqtt://127.0.0.1:{port}?access=open"],
                    f"127.0.0.1:{port}", "Address already in use")
        self.expect(1, [*config, *state, "--listen", "mqtt://host.invalid:1?access=open&i-know=1"], "host.invalid")
        with open(os.path.join(self.folder, "letter"), "w", encoding="ascii") as file:
            file.write("somebody's")
        self.expect(1, [*config, *state, "--listen", f"unix://{self.folder}/letter"], "letter", "exists")
        with open(os.path.join(self.folder, "letter"), encoding="ascii") as file:
            check(file.read() == "somebody's", "a file that is not a socket stays")
        self.expect(1, [*config, *state, "--listen", f"unix://{self.folder}/no/such.sock"], "such.sock", "No such file")
        nothing = f"{self.folder}/nothing.pem"
        self.expect(1, [*config, *state, "--listen", f"mqtts://127.0.0.1:0?cert={nothing}&key={nothing}&ca={nothing}"],
                    nothing)
        self.expect(1, [*config, *state, "--listen", f"mqtts://127.0.0.1:0?cert={self.config}&key={self.config}&"
                        f"ca={self.config}"], self.config)
        taken.close()


# ---- signals ----------------------------------------------------------------------------------------------------------


def sigterm(suite):
    """While clients publish, an uplink is silent and a plugin hangs: it stops in time, with status 0, and nothing that
    was acknowledged is missing."""
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections, says nothing
    unruly = os.path.join(suite.build, "tests", "plugins", "unruly.so")
    config = (f"[uplink u]\nuri = mqtt://127.0.0.1:{listener.getsockname()[1]}\n[stream kept]\n[route kept]\nfilter = kept/#\n"
              f"stream = kept\n[plugin hang]\npath = {unruly}\nsubscribe = work/hang\npublish = done/hang\n")
    with gateway.Gateway(suite.build, config) as gw:
        gateway.wait_for(lambda: gw.ctl("plugin/list")["plugins"][0]["state"] == "running", "the plugin runs")
        publishers = [Publisher("kept/a", 4, 1), Publisher("kept/b", 5, 2)]
        load = Load(gw.port(), publishers, [100, 100])
        with gw.client("teaser", clean=True) as teaser:
            teaser.publish("work/hang", "hang")
        for publisher in publishers:
            load.burst(publisher, 500)
        begin = time.monotonic()
        gw.process.send_signal(signal.SIGTERM)
        status = gw.wait()
        took = time.monotonic() - begin
        load.ended.set()
        load.join(gateway.LONG)
        check(status == 0, f"the status is {status}")
        limit = 20 if suite.is_sanitized() else 5.5  # promised are 5 s, and the kernel wants its part
        check(took < limit, f"it took {took:.1f} s")
        found = Sequence()
        for _, topic, payload in seglog.read(os.path.join(gw.state, "streams", "kept")):
            found.take(topic, payload)
        for publisher in publishers:
            check(found.complete(publisher), f"{publisher.name}: {publisher.acked} were acknowledged, "
                  f"{found.highest.get(publisher.name)} are there")
        print(f"          it took {took:.1f} s")
    listener.close()


def sigterm_tells(suite):
    """MQTT 5 clients hear why."""
    with gateway.Gateway(suite.build) as gw:
        client = gw.client("listener", version=5)
        gw.process.send_signal(signal.SIGTERM)
        found = client.receive()
        check((found.kind, found.reason) == (raw.DISCONNECT, 0x8B), f"expected DISCONNECT 0x8B, found {found}")
        check(client.is_closed() and gw.wait() == 0, "and the daemon ends with status 0")


def sighup(suite):
    """New certificates for those who come, nothing new for those who are there; a bad one changes nothing."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        change_certificates(suite, gateway.Certificates(folder))


def change_certificates(suite, certificates):
    with gateway.Gateway(suite.build, listen=(gateway.OPEN, certificates.door("&access=full"))) as gw:
        context = certificates.context("pump")
        plain, secure = gw.client("plain"), raw.Client(gw.port("mqtts"), "secure", tls=context)
        before = secure.socket.getpeercert()["serialNumber"]
        certificates.issue("server")
        reload(gw)
        with raw.Client(gw.port("mqtts"), "new", tls=context) as newcomer:
            check(newcomer.socket.getpeercert()["serialNumber"] != before, "who comes now sees the new certificate")
        with open(certificates.path("server.pem"), "w", encoding="ascii") as file:
            file.write("not a certificate\n")
        reload(gw)
        gateway.wait_for(lambda: gw.logged("server.pem|mqtts://.*keeps its certificates"), "a bad certificate is told")
        with raw.Client(gw.port("mqtts"), "newer", tls=context) as newcomer:
            newcomer.ping()
        gw.write_config("[stream s]\npriority = high\n")
        reload(gw)
        for client in (plain, secure):
            client.subscribe("still/here")
            client.publish("still/here", "x")
            check(client.message().payload == b"x", "connections go on")
            client.disconnect()
        check(gw.stop() == 0, "and it stops with status 0")


def reload(gw):
    """The log says when it is done."""
    before = len(gw.log)
    gw.process.send_signal(signal.SIGHUP)
    gateway.wait_for(lambda: any("read again" in line or "stays as it was" in line for line in gw.log[before:]), "SIGHUP is obeyed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=4, help="of garbage")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        certificates, others = gateway.Certificates(folder), gateway.Certificates(folder, "others")
        unix = os.path.join(folder, "mqtt.sock")
        with gateway.Gateway(suite.build, listen=(gateway.OPEN, certificates.door("&access=full"), f"unix://{unix}",
                                                  "ws://127.0.0.1:0?access=open")) as gw:
            tls = certificates.context("pump")
            doors = [(gw.port(), None), (unix, None), (os.path.join(gw.runtime, "control.sock"), None),
                     (gw.port("mqtts"), tls), (gw.port("mqtts"), None), (gw.port("ws"), None), (gw.port("ws"), None)]
            garbage = Garbage(gw, doors, random.Random(options.seed))
            suite.run("garbage on every listener disturbs nobody", garbage.run, options.seconds)
            suite.run("a first packet that is not CONNECT closes the connection", first_packet_is_not_connect, doors[:4])
            suite.run("half a packet keeps nobody waiting", half_a_packet, gw, doors[:4])
            suite.run("only those with a certificate get in by TLS", tls_strangers, gw, certificates, others)
            suite.run("all the while the daemon ran, and stops with status 0", lambda: check(gw.stop() == 0, gw.log[-5:]))
            if suite.failed:
                gw.show_log()
        commands = Commands(suite, folder)
        suite.run("an error in a configuration names file, line, key, what was expected and what was found",
                  commands.broken_configurations)
        suite.run("all errors are told at once", commands.all_at_once)
        suite.run("with a broken configuration nothing is started", commands.nothing_is_started)
        suite.run("an error in a drop-in names the drop-in", commands.drop_ins)
        suite.run("a configuration that cannot be read is an error", commands.unreadable_configurations)
        suite.run("wrong usage is answered with status 2 and the right one", commands.wrong_usage)
        suite.run("a door that cannot be opened is an error that names it", commands.doors_that_cannot_open)
        suite.run("SIGTERM stops it in time, and nothing acknowledged is missing", sigterm, suite)
        suite.run("SIGTERM is told to MQTT 5 clients", sigterm_tells, suite)
        suite.run("SIGHUP keeps connections", sighup, suite)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
