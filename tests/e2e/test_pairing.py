#!/usr/bin/python3
"""A simulated node from unknown to its first telemetry, and everything that must not get in: gatehoused, gatehouse, ghn-sim.

    tests/e2e/test_pairing.py BUILD

The node speaks TLS 1.2 with ECDHE-PSK over mbedTLS; what a node with TLS 1.3 is told is asked with openssl s_client. Nothing here
needs a network but loopback.
"""
import glob
import hashlib
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
from xml.etree import ElementTree

import gateway
from gateway import check, wait_for

try:
    import jsonschema
except ImportError:
    jsonschema = None

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WRONG_KEY = "00" * 32


class Bench:
    """Where nodes are made: their identity pages, their stickers."""

    def __init__(self, folder):
        self.folder = folder

    def make(self, serial):
        page = os.path.join(self.folder, serial + ".id")
        done = subprocess.run([sys.executable, os.path.join(ROOT, "stm32-nodes", "tools", "ghn-id"), "--serial", serial, "--model",
                               "stm32f405", "--out", page], capture_output=True, text=True, check=True)
        code, qr = (line.split(" ", 1)[1] for line in done.stdout.splitlines())
        return page, code, qr


def pairing_key(serial, code):
    return hashlib.scrypt(code.replace("-", "")[:15].encode(), salt=b"gh-pair-v1|" + serial.encode(), n=32768, r=8, p=1,
                          maxmem=64 << 20, dklen=32).hex()


class Node:
    """ghn-sim with an identity; its lines."""

    def __init__(self, gw, folder, serial, page, *more):
        self.lines = []
        self.keys = os.path.join(folder, serial + ".keys")
        self.command = [gw.programs["ghn-sim"], "--identity", page, "--keys", self.keys, "--port", str(gw.psk_port), "--interval",
                        "800", "--speed", "4"]  # it asks again after five seconds of its own
        self.process = subprocess.Popen([*self.command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def read(self, pipe):
        with pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))

    def said(self, text):
        return any(text in line for line in list(self.lines))

    def wait(self, text):
        wait_for(lambda: self.said(text), f"the node says {text!r}; it said {self.lines[-8:]}", timeout=60)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=gateway.LONG)
        self.reader.join(gateway.LONG)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def new_gateway(suite, folder=None):
    port = gateway.free_port()
    gw = gateway.Gateway(suite.build, listen=(gateway.OPEN, f"mqtts+psk://127.0.0.1:{port}?tls12=1"), folder=folder)
    gw.psk_port = port
    return gw


HOSTS = itertools.cycle(range(2, 250))


def s_client(gw, identity, key, *more):
    """What openssl says of a handshake; TLS 1.3 unless more says otherwise. Each comes from an address of its own: who has failed
    often waits, and by now everybody here has."""
    openssl = gateway.find_tool("openssl")
    done = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{gw.psk_port}", "-bind", f"127.0.0.{next(HOSTS)}:0", "-psk", key,
                           "-psk_identity", identity, *(more or ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"))],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=gateway.LONG, check=False)
    return done.stdout + done.stderr


def alert_of(text):
    found = re.search(r"SSL alert number (\d+)", text)
    check(found, f"openssl was told an alert: {text[-400:]}")
    return int(found.group(1))


def node_of(gw, serial):
    return next((n for n in gw.ctl("node/list")["nodes"] if n["serial"] == serial), None)


def telemetry(gw, thing):
    return gw.cli("sub", "-n", "1", "-t", "30", f"dt/{thing}/#")


def pair(gw, bench, serial, thing, *more):
    page, code, _ = bench.make(serial)
    node = Node(gw, bench.folder, serial, page, *more)
    gw.cli("pair", serial, code, "--thing", thing)
    node.wait("telemetry seq=1")
    return node, page, code


# ---- from unknown to telemetry -----------------------------------------------------------------------------------------


def two_commands(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        page, code, _ = Bench(folder).make("A7")
        begin = time.monotonic()
        with Node(gw, folder, "A7", page):  # switching it on
            done = subprocess.run([gw.programs["gatehouse"], "--runtime", gw.runtime, "pair", "--thing", "press-7"], input=code + "\n",
                                  capture_output=True, text=True, timeout=60, check=False)  # the one command, the other is its answer
            check(done.returncode == 0 and "A7 asks to be paired" in done.stdout and "A7 is paired as press-7" in done.stdout,
                  f"gatehouse pair: {done.stdout} {done.stderr}")
            check('"temperature"' in telemetry(gw, "press-7"), "telemetry comes")
            took = time.monotonic() - begin
        check(took < 60, f"in less than a minute: {took:.1f} s")
        print(f"    from unknown to first telemetry: {took:.1f} s")
        wait_for(lambda: gw.logged("node A7: asking: 127.0.0.1") and gw.logged("node A7: paired"), "and the log says so")
        rows = gw.ctl("node/list")["nodes"]
        check(len(rows) == 1 and rows[0]["state"] == "paired" and rows[0]["model"] == "stm32f405", f"{rows}")


def audited(gw, what, text):
    """A row of the audit log that says that."""
    def found():
        rows = gw.ctl("audit/list", json.dumps({"what": what}).encode())["entries"]
        return [r for r in rows if text in r["reason"] or text in r["object"] or text in r["who"]]
    return wait_for(found, f"the audit log says {what} … {text}")[-1]


def qr_code(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        page, _, qr = Bench(folder).make("A8")
        with Node(gw, folder, "A8", page):
            check("A8 is paired as A8" in gw.cli("pair", qr), "a QR text will do")


# ---- who must not get in ---------------------------------------------------------------------------------------------------


def same_alert(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, _, _ = pair(gw, Bench(folder), "A7", "press-7")
        node.end()
        tls12 = ("-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305")
        for more in ((), tls12):
            wrong = alert_of(s_client(gw, "n:A7:1", WRONG_KEY, *more))
            for identity in ("n:A7:2", "n:A9:1", "pair:A9", "cable:A7", "x"):
                told = alert_of(s_client(gw, identity, WRONG_KEY, *more))
                check(told == wrong, f"{identity}: {told}, and a wrong key {wrong}")
        wait_for(lambda: gw.logged("TLS: n:A7:1: its key is wrong") and gw.logged("TLS: n:A9:1: its identity is not known"),
                 "the log tells them apart")
        for reason in "n:A7:1: its key is wrong", "n:A9:1: there is no such key", "no node has such an identity", "for a cable":
            audited(gw, "refused/connect", reason)
        for cipher in ("PSK-CHACHA20-POLY1305", "DHE-PSK-CHACHA20-POLY1305"):
            check("Cipher is (NONE)" in s_client(gw, "n:A7:1", WRONG_KEY, "-tls1_2", "-cipher", cipher), f"{cipher} is refused")


def wrong_code(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        bench = Bench(folder)
        page, code, _ = bench.make("A7")
        _, other, _ = bench.make("B7")
        mistyped = code[:-1] + ("0" if code[-1] != "0" else "1")
        gw.cli("pair", "A7", mistyped, status=1)
        check(not gw.ctl("pair/list")["waiting"], "a code that is mistyped opens nothing")
        waiting = subprocess.Popen([gw.programs["gatehouse"], "--runtime", gw.runtime, "pair", "A7", other], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        wait_for(lambda: gw.ctl("pair/list")["waiting"], "the other node's code is taken")
        for _ in range(5):
            s_client(gw, "pair:A7", pairing_key("A7", code))
        out, err = waiting.communicate(timeout=gateway.LONG)
        check(waiting.returncode == 1 and "5 times another code was tried" in err, f"five failures end it: {out} {err}")
        check(not gw.ctl("pair/list")["waiting"], "and nobody gets in with the code any more")
        wait_for(lambda: gw.logged("node A7: closed: 5 times another code was tried"), "the log says why")
        audited(gw, "node/wrong-code", "has another code (4 of 5)")
        audited(gw, "node/closed", "5 times another code was tried")
        with Node(gw, folder, "A7", page) as node:
            gw.cli("pair", "A7", code)  # the right one
            node.wait("telemetry seq=1")


def sticker_only_pairs(suite):
    """Somebody with the right code and a client of his own: what the role may do."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        _, code, _ = Bench(folder).make("A7")
        gw.ctl("pair/code", ('{"serial":"A7","code":"%s"}' % code).encode())
        with PskClient(gw, "pair:A7", pairing_key("A7", code)) as client:
            check(client.connect("pair-A8") == 5, "another's client id is refused")
        audited(gw, "refused/connect", "pair-A8")
        with PskClient(gw, "pair:A7", pairing_key("A7", code)) as client:
            check(client.connect("pair-A7") == 0, "his own is taken")
            check(client.subscribe("gh/pair/A7/offer") < 0x80, "he may hear his offer")
            check(client.subscribe("gh/pair/A8/offer") == 0x80 and client.subscribe("dt/#") == 0x80, "and nothing else")
            hello = b'{"v":1,"model":"m","fw":"1"}'
            client.publish("gh/pair/A7/hello", hello)
            first = client.message()
            client.publish("gh/pair/A7/hello", hello)  # a hello that is replayed gets another key
            second = client.message()
            check(b'"gen":1,' in first and b'"gen":2,' in second, f"{first} {second}")
            client.publish("gh/pair/A7/commit", b'{"gen":1}')  # and a commit that is replayed is nothing
            client.publish("gh/pair/A7/commit", b'{"gen":2}')
        check(node_of(gw, "A7")["state"] == "offered", "only the use of a key pairs")
        keys = [re.search(rb'"key":"([0-9a-f]{64})"', offer).group(1).decode() for offer in (first, second)]
        alert_of(s_client(gw, "n:A7:1", keys[0]))  # void
        with PskClient(gw, "n:A7:2", keys[1]) as client:
            check(client.connect("somebody") == 5, "a node's client id is its thing")
        with PskClient(gw, "n:A7:2", keys[1]) as client:
            check(client.connect("A7") == 0, "with its own it is let in")
            check(client.subscribe("dt/A8/#") == 0x80, "and has its own topics only")
        alert_of(s_client(gw, "pair:A7", pairing_key("A7", code)))  # the code is forgotten
        everything = "".join(gw.log) + str(gw.ctl("node/list")) + str(gw.ctl("pair/list"))
        check(not any(key in everything for key in keys) and code not in everything and pairing_key("A7", code) not in everything,
              "no key and no code is in a log or a list")


class PskClient:
    """MQTT 3.1.1 over openssl s_client, for what ghn-sim would never do."""

    def __init__(self, gw, identity, key):
        self.process = subprocess.Popen(
            [gateway.find_tool("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.1:{gw.psk_port}", "-psk", key, "-psk_identity",
             identity, "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.left = b""
        self.next_id = 1
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def text(value):
        value = value.encode() if isinstance(value, str) else value
        return len(value).to_bytes(2, "big") + value

    def send(self, head, body):
        check(len(body) < 128 * 128, "short packets only")
        size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
        self.process.stdin.write(bytes([head]) + size + body)
        self.process.stdin.flush()

    def need(self, n):
        end = time.monotonic() + gateway.LONG
        while len(self.left) < n:
            check(select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], "the gateway answers")
            more = os.read(self.process.stdout.fileno(), 4096)
            check(more, "the connection stays")
            self.left += more

    def packet(self):
        self.need(2)
        at, size, shift = 1, 0, 0
        while True:
            self.need(at + 1)
            byte = self.left[at]
            size |= (byte & 127) << shift
            shift += 7
            at += 1
            if byte < 128:
                break
        self.need(at + size)
        head, body, self.left = self.left[0], self.left[at:at + size], self.left[at + size:]
        return head, body

    def until(self, kind):
        while True:
            head, body = self.packet()
            if head >> 4 == 3:
                self.messages.append(body[2 + int.from_bytes(body[:2], "big"):])  # QoS 0: no id
            if head >> 4 == kind:
                return body

    def connect(self, client_id):
        self.send(0x10, self.text("MQTT") + b"\x04\x02\x00\x3c" + self.text(client_id))
        return self.until(2)[1]

    def subscribe(self, topic):
        self.next_id += 1
        self.send(0x82, self.next_id.to_bytes(2, "big") + self.text(topic) + b"\x00")
        return self.until(9)[2]

    def publish(self, topic, payload):
        self.next_id += 1
        self.send(0x32, self.text(topic) + self.next_id.to_bytes(2, "big") + payload)
        self.until(4)

    def message(self):
        while not self.messages:
            self.until(3)
        return self.messages.pop(0)


# ---- afterwards -----------------------------------------------------------------------------------------------------------------


def is_as_written(name, answer):
    """Against schema/json, where python3-jsonschema is installed."""
    if not jsonschema:
        return
    found = {}
    for path in glob.glob(os.path.join(ROOT, "schema", "json", "*.schema.json")):
        with open(path, encoding="utf-8") as file:
            found[os.path.basename(path)] = json.load(file)
    schema = found[name + ".schema.json"]
    jsonschema.Draft202012Validator(schema, resolver=jsonschema.RefResolver("", schema, store=found)).validate(answer)


def rotate_and_revoke(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, page, _ = pair(gw, Bench(folder), "A7", "press-7")
        with node:
            wait_for(lambda: node_of(gw, "A7")["connected"], "it is connected")
            is_as_written("node-list", gw.ctl("node/list"))
            is_as_written("node", gw.ask("node", "rotate", "press-7"))
            node.wait("lost reason=rekeyed")
            wait_for(lambda: node_of(gw, "A7")["state"] == "paired" and node_of(gw, "A7")["generation"] == 2, "the new key is used")
            is_as_written("node", gw.ask("node", "revoke", "A7"))
            node.wait("lost reason=stream")
            wait_for(lambda: gw.logged("press-7 .*: closed: its key is revoked"), "its connection is closed at once")
            wait_for(lambda: gw.logged("TLS: n:A7:2: its identity is not known"), "and it does not come in again")
            audited(gw, "node/revoked", "A7")
            audited(gw, "refused/connect", "n:A7:2: there is no such key")
        check(os.path.getsize(node.keys) == 512, "it has kept its key: who forges an alert cannot make it forget")
        gw.cli("node", "revoke", "nobody", status=1)
        answer = gw.ctl("cert/delete", b'{"id":"psk:A7","force":true}')
        check(answer.get("code") == 409, f"what says that it is revoked stays: {answer}")


def pair_again(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, page, code = pair(gw, Bench(folder), "A7", "press-7")
        node.end()
        gw.cli("pair", "A7", code, status=1)  # nobody has allowed it
        gw.cli("node", "re-pair", "press-7")
        with Node(gw, folder, "A7", page, "--pair") as node:  # its button
            gw.cli("pair", "A7", code)
            node.wait("telemetry seq=1")
        check(node_of(gw, "A7")["generation"] == 2, "it has another key")


def away_when_rotated(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, page, _ = pair(gw, Bench(folder), "A7", "press-7")
        node.end()
        gw.cli("node", "rotate", "A7")
        check(node_of(gw, "A7")["state"] == "rotating", "it waits for the node")
        gw.restart()
        with Node(gw, folder, "A7", page) as node:
            node.wait("lost reason=rekeyed")
            wait_for(lambda: node_of(gw, "A7")["generation"] == 2, "it has got the key when it came, from before the restart")


# ---- kill ------------------------------------------------------------------------------------------------------------------------


def killed_at(suite, moment):
    """kill -9 at the moment that the log says this; in the end the node is paired, with a key that works."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        page, code, _ = Bench(folder).make("A7")
        with Node(gw, folder, "A7", page) as node:
            asking = subprocess.Popen([gw.programs["gatehouse"], "--runtime", gw.runtime, "pair", "A7", code], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            wait_for(lambda: gw.logged(moment), f"the log says {moment}", pause=0.001)
            gw.kill()
            asking.wait(timeout=gateway.LONG)
            gw.start()
            state = node_of(gw, "A7")
            if not state or state["state"] == "offered":  # the code is forgotten, the key perhaps kept
                gw.ctl("pair/code", ('{"serial":"A7","code":"%s"}' % code).encode())
            node.wait("telemetry seq=1")
            wait_for(lambda: node_of(gw, "A7")["state"] == "paired", "it is paired")
            wait_for(lambda: node.said("delivered"), "and its telemetry comes")


def killed_while_rotating(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, _, _ = pair(gw, Bench(folder), "A7", "press-7")
        with node:
            for generation, moment in ((2, "rotating"), (3, "rotated")):
                wait_for(lambda: node_of(gw, "A7")["connected"], "it is connected")
                before = sum(f"node A7: {moment}" in line for line in gw.log)
                gw.request("$gatehouse/ctl/node/rotate", b'{"name":"A7"}')
                wait_for(lambda: sum(f"node A7: {moment}" in line for line in list(gw.log)) > before, moment, pause=0.001)
                gw.restart()
                wait_for(lambda: node_of(gw, "A7")["generation"] == generation, f"it comes with key {generation}", timeout=90)
                check(node_of(gw, "A7")["state"] == "paired", "and the old one is gone")


def revoked_outlives_a_kill(suite):
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, new_gateway(suite) as gw:
        node, page, _ = pair(gw, Bench(folder), "A7", "press-7")
        node.end()
        gw.cli("node", "revoke", "A7")
        gw.restart()
        check(node_of(gw, "A7")["state"] == "revoked", "it is revoked still")
        with Node(gw, folder, "A7", page):
            wait_for(lambda: gw.logged("TLS: n:A7:1: its identity is not known"), "and does not get in")


def without_a_listener(suite):
    with gateway.Gateway(suite.build) as gw:
        with open(f"/proc/{gw.process.pid}/maps", encoding="utf-8") as file:
            check("libssl" not in file.read(), "nothing of TLS is loaded")
        gw.cli("pair", "A7", "QTH5-GKR5-WXFC-1V1A", status=1)
        check(gw.ctl("pair/code", b'{"serial":"A7","code":"QTH5-GKR5-WXFC-1V1A"}')["code"] == 409, "there is no listener for nodes")


def where_it_is(suite):
    with new_gateway(suite) as gw:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(gateway.LONG)
            asker.sendto(b"GHN1?A7", ("127.0.0.1", gw.psk_port))
            answer, _ = asker.recvfrom(512)
        check(answer.decode() == '{"gateway":"test","port":%d}' % gw.psk_port, f"a node that asks is told: {answer}")
        done = subprocess.run([os.path.join(ROOT, "deploy", "announce"), "--runtime", gw.runtime], capture_output=True, text=True, check=False,
                              env={**os.environ, "GATEHOUSE": gw.programs["gatehouse"]})
        check(done.returncode == 0, f"announce: {done.stderr}")
        service = ElementTree.fromstring(done.stdout).find("service")
        texts = [t.text for t in service.findall("txt-record")]
        check(service.find("type").text == "_gatehouse._tcp" and service.find("port").text == str(gw.psk_port), done.stdout)
        check(f"ca={gw.ask('ca', 'show')['id']}" in texts, f"with the fingerprint of its authority: {texts}")

    gw = new_gateway(suite)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", gw.psk_port))
        with gw:
            at = [next(n for n, line in enumerate(gw.log) if text in line) for text in ("nodes cannot ask where", f":{gw.psk_port}\n")]
            check(at[0] < at[1], f"who is told that it listens can ask already, or was told that he cannot: {gw.log}")


# ---- by a cable -----------------------------------------------------------------------------------------------------------


class Cable(threading.Thread):
    """Two terminals with a line between them: `near` is the gateway's, `far` the node's."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ends = [os.openpty() for _ in range(2)]
        for main_end, other in self.ends:
            tty.setraw(other)
            os.set_blocking(main_end, False)
        self.near, self.far = (os.ttyname(other) for _, other in self.ends)
        self.ended = False
        self.start()

    def run(self):
        mains = [main_end for main_end, _ in self.ends]
        while not self.ended:
            for fd in select.select(mains, [], [], 0.1)[0]:
                try:
                    os.write(mains[1 - mains.index(fd)], os.read(fd, 4096))
                except (BlockingIOError, OSError):
                    pass

    def end(self):
        self.ended = True
        self.join()
        for pair_of in self.ends:
            for fd in pair_of:
                os.close(fd)


def approved(suite, mode):
    cable = Cable()
    port = gateway.free_port()
    doors = (gateway.OPEN, f"mqtts+psk://127.0.0.1:{port}?tls12=1", f"serial://{cable.near}?tls12=1&pair={mode}")
    try:
        with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, gateway.Gateway(suite.build, listen=doors) as gw:
            gw.psk_port = port
            page, _, _ = Bench(folder).make("C3")
            with Node(gw, folder, "C3", page, "--serial", cable.far) as node:
                if mode == "off":
                    node.wait("attempt failed")
                    gw.cli("node", "approve", "C3", status=1)
                    check(node_of(gw, "C3") is None, "it gets no key")
                    return
                if mode == "ask":
                    wait_for(lambda: any(a["serial"] == "C3" and a["cable"] for a in gw.ctl("pair/list")["asking"]), "it is shown")
                    alert = alert_of(s_client(gw, "cable:C3", hashlib.sha256(b"gh-cable-v1").hexdigest()))
                    gw.cli("node", "approve", "C3", "--thing", "press-9")
                    check(alert == alert_of(s_client(gw, "cable:C3", hashlib.sha256(b"gh-cable-v1").hexdigest())), "by a cable only")
                    audited(gw, "refused/connect", "for a cable")
                    gw.cli("node", "approve", "Z9", status=1)
                node.wait("telemetry seq=1")
                check(node_of(gw, "C3")["thing"] == ("press-9" if mode == "ask" else "C3"), "it is what it was named")
                check(telemetry(gw, node_of(gw, "C3")["thing"]), "its telemetry comes")
    finally:
        cable.end()


def main():
    suite = gateway.Suite(sys.argv[1])
    done = subprocess.run([gateway.programs(suite.build)["ghn-sim"], "--identity", "/dev/null", "--keys", "/dev/null"],
                          capture_output=True, text=True, check=False)
    if "without mbedTLS" in done.stderr:
        raise gateway.Skip("ghn-sim was built without mbedTLS")
    tests = [
        ("a node is paired with two commands, offline, and its telemetry comes", two_commands, suite),
        ("the text of a QR code will do", qr_code, suite),
        ("an identity that is not known is told what a wrong key is told", same_alert, suite),
        ("a wrong code does not pair, and five end it", wrong_code, suite),
        ("who has the sticker can pair, and nothing else", sticker_only_pairs, suite),
        ("a node's key is replaced, and revoked", rotate_and_revoke, suite),
        ("a node that was paired is paired again when it is allowed", pair_again, suite),
        ("a key that was made while its node was away is sent when it comes, after a kill", away_when_rotated, suite),
        ("kill -9 when the code is known", killed_at, suite, "its code was entered"),
        ("kill -9 when the key is offered", killed_at, suite, "node A7: offered"),
        ("kill -9 when the node is paired", killed_at, suite, "node A7: paired"),
        ("kill -9 while a key is replaced", killed_while_rotating, suite),
        ("a revoked node stays revoked after kill -9", revoked_outlives_a_kill, suite),
        ("who asks on the network is told where it is, and Avahi can announce it", where_it_is, suite),
        ("a node on a cable is approved, and needs no code", approved, suite, "ask"),
        ("on a bench a node on a cable is paired at once", approved, suite, "auto"),
        ("where it is not wanted nobody is paired by a cable", approved, suite, "off"),
        ("without a listener for nodes nothing is loaded and no code taken", without_a_listener, suite),
    ]
    suite.run_all(tests, 3)
    return suite.end()


gateway.run(main)
