#!/usr/bin/python3
"""Stock clients: Mosquitto's, Paho Python, Paho C (both), MQTT.js, each in 3.1.1 and 5.0, over TCP, TLS with certificates
of both sides, WebSocket over either, and a Unix socket where the client can.

    tests/e2e/test_clients.py BUILD [--only WORD]...

Libraries are driven by small programs of one shape (clients/driver.h), so that one scenario serves them all. MQTT.js comes
from the package registry into BUILD/npm, once; without npm or the registry it is skipped.
"""
import argparse
import fcntl
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import gateway
import raw
from gateway import Skip, check

HERE = os.path.dirname(os.path.abspath(__file__))
LARGE = 600_000  # bytes; a packet may have 1 MiB


def pattern(size):
    return bytes(i % 251 for i in range(size))


class Program:
    """A process whose lines of output are awaited: what it has received, and answers to what it was told."""

    def __init__(self, *command, environment=None):
        # Leaks of a client's library are not ours to report.
        env = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"} | (environment or {})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, bufsize=1, env=env)
        self.messages, self.answers = queue.Queue(), queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def read(self):
        for line in self.process.stdout:
            self.seen.append(line := line.rstrip("\n"))
            self.queue_of(line).put(line)

    def queue_of(self, _line):
        return self.messages

    def next(self, lines, wanted):
        try:
            return lines.get(timeout=gateway.LONG)
        except queue.Empty:
            raise AssertionError(f"expected {wanted}, nothing came after {self.seen[-6:]}") from None

    def expect(self, *wanted):
        """The next messages, in this order."""
        for one in wanted:
            found = self.next(self.messages, one)
            check(found == one, f"expected {one!r}, found {found!r} in {self.seen[-6:]}")

    def expect_all(self, *wanted):
        """In any order."""
        found = sorted(self.next(self.messages, wanted) for _ in wanted)
        check(found == sorted(wanted), f"expected {wanted}, found {found}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stand_still(self):
        self.process.send_signal(signal.SIGSTOP)


class Driver(Program):
    def queue_of(self, line):
        return self.messages if line.startswith("message ") else self.answers

    def expect_answer(self, wanted):
        found = self.next(self.answers, wanted)
        if found == "connected ?":
            found = wanted  # a library that does not tell whether a session was present
        check(found == wanted, f"expected {wanted!r}, found {found!r} in {self.seen[-6:]}")

    def ask(self, command, answer):
        self.process.stdin.write(command + "\n")
        self.expect_answer(answer)


# ---- libraries --------------------------------------------------------------------------------------------------------


class Library:
    """How a client is started for a door and a version."""

    def __init__(self, name, command, transports, environment=None):
        self.name, self.command, self.transports, self.environment = name, command, transports, environment

    def uri(self, stage, transport):
        scheme, rest = self.transports[transport]
        return f"{scheme}://{rest.format(port=stage.ports.get(transport), path=stage.socket)}"

    def start(self, stage, transport, version):
        tls = stage.identity if transport in ("tls", "wss") else ()
        return Driver(*self.command, self.uri(stage, transport), str(version), *tls, environment=self.environment)


HOST = "127.0.0.1:{port}"
WEB = {"ws": ("ws", HOST + "/mqtt"), "wss": ("wss", HOST + "/mqtt")}


def libraries(build):
    clients = os.path.join(build, "tests", "e2e", "clients")
    python = sys.executable
    npm = os.path.join(build, "npm", "node_modules")
    return [
        Library("Paho Python", [python, os.path.join(HERE, "clients", "paho_python.py")],
                {"tcp": ("mqtt", HOST), "tls": ("mqtts", HOST)} | WEB),
        Library("Paho C sync", [os.path.join(clients, "paho_sync")], {"tcp": ("tcp", HOST), "tls": ("ssl", HOST)} | WEB),
        Library("Paho C async", [os.path.join(clients, "paho_async")], {"tcp": ("tcp", HOST), "tls": ("ssl", HOST)} | WEB),
        Library("MQTT.js", [shutil.which("node") or "node", os.path.join(HERE, "clients", "mqttjs.cjs")],
                {"tcp": ("mqtt", HOST), "tls": ("mqtts", HOST), "unix": ("unix", "{path}")} | WEB, {"NODE_PATH": npm}),
    ]


def need_python_paho():
    done = subprocess.run([sys.executable, "-c", "import paho.mqtt.client"], capture_output=True, check=False)
    if done.returncode:
        raise Skip("python3-paho-mqtt is not installed")


def need_mqttjs(build):
    """Installs it when it is not there; two tests may want to at once."""
    node, npm = gateway.find_tool("node"), gateway.find_tool("npm")
    folder = os.path.join(build, "npm")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(os.path.join(folder, "node_modules", "mqtt")):
            done = subprocess.run([npm, "install", "--prefix", folder, "mqtt@5", "--no-audit", "--no-fund"],
                                  capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                raise Skip(f"npm install mqtt@5: {done.stderr.strip().splitlines()[-1:]}")
    done = subprocess.run([node, "-e", "require('mqtt')"], capture_output=True, check=False, text=True,
                          env=os.environ | {"NODE_PATH": os.path.join(folder, "node_modules")})
    if done.returncode:
        raise Skip(f"mqtt cannot be loaded: {done.stderr.strip().splitlines()[-1:]}")


# ---- the scenario -----------------------------------------------------------------------------------------------------


class Stage:
    """The doors, and the certificate of those who come by TLS."""

    def __init__(self, gw, socket_path, certificates):
        self.gw = gw
        self.socket = socket_path
        self.ports = {"tcp": gw.port("mqtt"), "tls": gw.port("mqtts"), "ws": gw.port("ws"), "wss": gw.port("wss")}
        self.identity = (certificates.ca, *certificates.issue("pump"))
        self.certificates = certificates

    def observer(self, name, *filters):
        observer = self.gw.client(name + "-observer", version=5)
        observer.subscribe(*filters, qos=2)
        return observer


def scenario(stage, library, transport, version):
    base = f"{library.name.replace(' ', '')}-{transport}-{version}"
    with stage.observer(base, f"{base}/out/#", f"{base}/will/#") as other, \
            library.start(stage, transport, version) as driver, library.start(stage, transport, version) as second:
        driver.ask(f"connect {base}-a 1 60", "connected 0")
        qos_both_ways(driver, other, base)
        wildcards(driver, other, base)
        retained(driver, other, base)
        large_payload(driver, other, base)
        driver.ask("disconnect", "disconnected")
        persistent_session(driver, other, base)
        take_over(driver, second, base)
        wills(driver, second, other, base)


def qos_both_ways(driver, other, base):
    driver.ask(f"subscribe {base}/in/# 2", "subscribed 2")
    for qos in (0, 1, 2):
        other.publish(f"{base}/in/{qos}", f"to-it-{qos}", qos)
        driver.expect(f"message {base}/in/{qos} {qos} 0 7 to-it-{qos}")
    for qos in (0, 1, 2):
        driver.ask(f"publish {base}/out/{qos} {qos} 0 from-it-{qos}", "published")
        found = other.message()
        check((found.topic, found.payload, found.qos, found.retain) ==
              (f"{base}/out/{qos}", f"from-it-{qos}".encode(), qos, False), f"QoS {qos} from the client, found {found}")
    driver.ask(f"subscribe {base}/low 0", "subscribed 0")
    other.publish(f"{base}/low", "x", 2)
    driver.expect(f"message {base}/low 0 0 1 x")
    driver.ask(f"unsubscribe {base}/in/#", "unsubscribed")
    other.publish(f"{base}/in/1", "nobody hears it")
    other.publish(f"{base}/low", "the next")
    driver.expect(f"message {base}/low 0 0 8 the next")


def wildcards(driver, other, base):
    driver.ask(f"subscribe {base}/+/x 1", "subscribed 1")
    driver.ask(f"subscribe {base}/tree/# 1", "subscribed 1")
    for topic, is_wanted in (("one/x", True), ("one/y", False), ("one/two/x", False), ("tree", True), ("tree/a/b/c", True),
                             ("trees", False), ("/x", True), ("tree/", True)):
        other.publish(f"{base}/{topic}", topic)
        if is_wanted:
            driver.expect(f"message {base}/{topic} 1 0 {len(topic)} {topic}")
    other.publish(f"{base}/end/x", "end")
    driver.expect(f"message {base}/end/x 1 0 3 end")


def retained(driver, other, base):
    driver.ask(f"publish {base}/keep/a 1 1 stays", "published")
    other.publish(f"{base}/keep/b", "stays-too", retain=True)
    driver.ask(f"subscribe {base}/keep/+ 1", "subscribed 1")
    driver.expect_all(f"message {base}/keep/a 1 1 5 stays", f"message {base}/keep/b 1 1 9 stays-too")
    driver.ask(f"publish {base}/keep/a 1 1", "published")
    driver.expect(f"message {base}/keep/a 1 0 0 ")
    driver.ask(f"subscribe {base}/keep/# 1", "subscribed 1")
    driver.expect(f"message {base}/keep/b 1 1 9 stays-too")
    driver.ask(f"unsubscribe {base}/keep/+", "unsubscribed")
    driver.ask(f"unsubscribe {base}/keep/#", "unsubscribed")


def large_payload(driver, other, base):
    driver.ask(f"subscribe {base}/large 1", "subscribed 1")
    large = pattern(LARGE)
    other.publish(f"{base}/large", large)
    driver.expect(f"message {base}/large 1 0 {LARGE} sum={sum(large)}")
    for qos in (1, 2):
        driver.ask(f"fill {base}/out/large {qos} {LARGE}", "published")
        check(other.message().payload == large, "a large payload arrives as it was sent")


def persistent_session(driver, other, base):
    driver.ask(f"connect {base}-b 0 60", "connected 0")
    driver.ask(f"subscribe {base}/away/# 2", "subscribed 2")
    driver.ask("disconnect", "disconnected")
    for k in range(6):  # a QoS 2 message is the client's later than a QoS 1 message behind it
        other.publish(f"{base}/away/{k}", f"m{k}", qos=1 + k // 3)
    driver.ask(f"connect {base}-b 0 60", "connected 1")
    for k in range(6):
        driver.expect(f"message {base}/away/{k} {1 + k // 3} 0 2 m{k}")
    driver.ask("disconnect", "disconnected")
    driver.ask(f"connect {base}-b 1 60", "connected 0")
    driver.ask("disconnect", "disconnected")


def take_over(driver, second, base):
    driver.ask(f"connect {base}-c 1 60", "connected 0")
    second.ask(f"connect {base}-c 1 60", "connected 0")
    driver.expect_answer("lost")
    second.ask(f"publish {base}/out/taken 1 0 over", "published")
    second.ask("disconnect", "disconnected")


def wills(driver, second, other, base):
    """None after a good-bye; one when the process is gone; one when it is there but says nothing any more. Somebody idle
    who keeps alive is not taken for that."""
    check(other.message().topic == f"{base}/out/taken", "the one who took over can publish")
    driver.ask(f"connect {base}-d 1 60 {base}/will/d unwanted 1 0", "connected 0")
    driver.ask("disconnect", "disconnected")
    driver.ask(f"connect {base}-e 1 60 {base}/will/e killed 1 1", "connected 0")
    second.ask(f"connect {base}-f 1 1 {base}/will/f silent 2 0", "connected 0")
    time.sleep(2)  # the only way to see that it keeps alive is to let more time go by than it has
    second.ask(f"publish {base}/out/alive 1 0 yes", "published")
    check(other.message().payload == b"yes", "who keeps alive stays connected")
    driver.kill()
    found = other.message()
    check((found.topic, found.payload, found.qos) == (f"{base}/will/e", b"killed", 1), f"the will of a lost client: {found}")
    second.stand_still()
    found = other.message()
    check((found.topic, found.payload, found.qos) == (f"{base}/will/f", b"silent", 2), f"the will of a silent client: {found}")
    other.subscribe(f"{base}/will/+")
    check(other.message().retain, "a retained will is retained")


# ---- Mosquitto's ------------------------------------------------------------------------------------------------------


class Mosquitto:
    """mosquitto_pub and mosquitto_sub with the options of a door."""

    def __init__(self, stage, transport, version):
        self.pub, self.sub = gateway.find_tool("mosquitto_pub"), gateway.find_tool("mosquitto_sub")
        self.door = ["-V", {4: "mqttv311", 5: "mqttv5"}[version]]
        if transport == "unix":
            self.door += ["--unix", stage.socket]
        else:
            self.door += ["-h", "127.0.0.1", "-p", str(stage.ports[transport])]
        if transport == "tls":
            ca, cert, key = stage.identity
            self.door += ["--cafile", ca, "--cert", cert, "--key", key]

    def publish(self, *words, payload=None):
        done = subprocess.run([self.pub, *self.door, *words], input=payload, capture_output=True, timeout=gateway.LONG,
                              check=False)
        check(done.returncode == 0, f"mosquitto_pub {words}: {done.stderr}")

    def subscribe(self, *words):
        return Program(self.sub, *self.door, "-F", "%t %q %r %l %p", *words)


def mosquitto_clients(stage, transport, version):
    base = f"mosquitto-{transport}-{version}"
    tools = Mosquitto(stage, transport, version)
    with stage.observer(base, f"{base}/out/#", f"{base}/will/#") as other:
        other.publish(f"{base}/in/marker", "here", retain=True)
        with tools.subscribe("-q", "2", "-t", f"{base}/in/+", "-i", f"{base}-s") as listener:
            listener.expect(f"{base}/in/marker 1 1 4 here")
            for qos in (0, 1, 2):
                tools.publish("-q", str(qos), "-t", f"{base}/out/{qos}", "-m", f"from-it-{qos}")
                found = other.message()
                check((found.payload, found.qos) == (f"from-it-{qos}".encode(), qos), f"QoS {qos} from mosquitto_pub: {found}")
                other.publish(f"{base}/in/{qos}", f"to-it-{qos}", qos)
                listener.expect(f"{base}/in/{qos} {qos} 0 7 to-it-{qos}")
            tools.publish("-r", "-q", "1", "-t", f"{base}/in/marker", "-n")
            listener.expect(f"{base}/in/marker 1 0 0 ")
        tools.publish("-q", "2", "-t", f"{base}/out/large", "-s", payload=pattern(LARGE))
        check(other.message().payload == pattern(LARGE), "a large payload arrives as it was sent")
        mosquitto_session(tools, other, base, version)
        mosquitto_will(tools, stage, other, base)


def mosquitto_session(tools, other, base, version):
    expiry = ["-x", "3600"] if version == 5 else []
    words = ["-c", "-i", f"{base}-p", "-q", "1", "-t", f"{base}/away", *expiry]
    done = subprocess.run([tools.sub, *tools.door, *words, "-E"], capture_output=True, timeout=gateway.LONG, check=False)
    check(done.returncode == 0, f"mosquitto_sub -E: {done.stderr}")
    for k in range(3):
        other.publish(f"{base}/away", f"m{k}")
    with tools.subscribe(*words) as listener:
        for k in range(3):
            listener.expect(f"{base}/away 1 0 2 m{k}")


def mosquitto_will(tools, stage, other, base):
    """Killed, and standing still: its shortest keep-alive is 5 s."""
    will = ["--will-qos", "1", "--will-topic"]
    other.publish(f"{base}/in/marker", "here", retain=True)
    watch = ["-t", f"{base}/in/marker"]
    with tools.subscribe(*watch, "-k", "5", *will, f"{base}/will/still", "--will-payload", "silent") as still, \
            tools.subscribe(*watch, "-i", f"{base}-k", *will, f"{base}/will/k", "--will-payload", "killed") as killed:
        still.expect(f"{base}/in/marker 0 1 4 here")
        killed.expect(f"{base}/in/marker 0 1 4 here")
        still.stand_still()
        killed.kill()
        check(other.message().payload == b"killed", "the will of a killed mosquitto_sub")
        with stage.gw.client(f"{base}-t") as first:
            with tools.subscribe(*watch, "-i", f"{base}-t") as second:
                second.expect(f"{base}/in/marker 0 1 4 here")
                check(first.is_closed(), "mosquitto_sub takes over")
        check(other.message().payload == b"silent", "the will of a silent mosquitto_sub")


# ---- who comes by TLS -------------------------------------------------------------------------------------------------


def nodes_by_certificate(stage):
    """At a door without access=full, who comes as NAME may use the topics of NAME."""
    port = next(int(name.rsplit(":", 1)[1]) for name in list(stage.gw.doors)[::-1] if name.startswith("mqtts://"))
    with raw.Client(port, "n", version=5, tls=stage.certificates.context("valve")) as node:
        check(node.publish("dt/valve/env", "{}") < 0x80, "a node may publish on a topic of its own")
        check(node.publish("dt/pump/env", "{}") == 0x87, "but not on somebody else's")
        check(node.subscribe("cmd/valve/#") == [1], "and subscribe to its own")
        check(node.subscribe("#") == [0x87], "but not to everybody's")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--only", action="append", default=[], help="tests whose sentence has this word")
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        certificates = gateway.Certificates(folder)
        socket_path = os.path.join(folder, "mqtt.sock")
        doors = (gateway.OPEN, certificates.door("&access=full"), f"unix://{socket_path}", certificates.door(),
                 "ws://127.0.0.1:0?access=open", certificates.door("&access=full", "wss"))
        with gateway.Gateway(suite.build, listen=doors, folder=folder) as gw:
            stage = Stage(gw, socket_path, certificates)
            tests = [("a node that comes by certificate has its own topics", nodes_by_certificate, stage)]
            for library in libraries(suite.build):
                for transport in library.transports:
                    for version, words in ((4, "3.1.1"), (5, "5.0")):
                        tests.append((f"{library.name} {words} over {transport}", run_library, suite.build, stage, library,
                                      transport, version))
            tests += [(f"mosquitto_pub and mosquitto_sub {words} over {transport}", mosquitto_clients, stage, transport, version)
                      for transport in ("tcp", "tls", "unix") for version, words in ((4, "3.1.1"), (5, "5.0"))]
            tests = [test for test in tests if all(word in test[0] for word in options.only)]
            suite.run_all(tests, workers=6)
            check(gw.is_running(), "the daemon runs")
            if suite.failed:
                gw.show_log()
            suite.run("the daemon stops with status 0", lambda: check(gw.stop() == 0, "it does not"))
    return suite.end()


def run_library(build, stage, library, transport, version):
    if library.name == "Paho Python":
        need_python_paho()
    if library.name == "MQTT.js":
        need_mqttjs(build)
    scenario(stage, library, transport, version)


if __name__ == "__main__":
    gateway.run(main)
