"""What the end-to-end tests share: a gateway to start, kill and start again, a Mosquitto that plays the cloud, and a suite.

    def main():
        suite = gateway.Suite(sys.argv[1])
        with gateway.Gateway(suite.build, config="…") as gw:
            suite.run("a sentence about behaviour", function, gw)
        return suite.end()
    gateway.run(main)

Every wait has an end, nothing depends on how long things take. Only processes started here are ended, by their id; every
state directory is a temporary folder of its own.
"""
import collections
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import raw

LONG = raw.LONG
OPEN = "mqtt://127.0.0.1:0?access=open"
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Skip(Exception):
    """This machine cannot do it; the text says what is missing."""


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def wait_for(what, sentence, timeout=LONG, pause=0.02):
    """What `what` returned when it was true for the first time."""
    end = time.monotonic() + timeout
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("does not happen: " + sentence)
        time.sleep(pause)


def find_tool(name):
    found = shutil.which(name, path=SEARCH)
    if not found:
        raise Skip(f"{name} is not installed")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# ---- suite ------------------------------------------------------------------------------------------------------------


class Suite:
    """Runs test functions, prints a line for each, and counts. A test that raises has failed."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()

    def is_sanitized(self):
        with open(os.path.join(self.build, "CMakeCache.txt"), encoding="utf-8") as file:
            return re.search(r"^GATEHOUSE_SANITIZE:\w+=.+$", file.read(), re.M) is not None

    def run(self, sentence, function, *args):
        begin = time.monotonic()
        details = ""
        try:
            function(*args)
            word = "passed "
        except Skip as reason:
            word, sentence = "skipped", f"{sentence}: {reason}"
        except Exception as error:  # whatever it is, the other tests still run
            word, sentence = "FAILED ", f"{sentence}: {error or type(error).__name__}"
            details = traceback.format_exc()
        with self.lock:
            self.passed += word == "passed "
            self.failed += word == "FAILED "
            self.skipped += word == "skipped"
            print(f"  {word} {sentence}  ({time.monotonic() - begin:.1f} s)", flush=True)
            if details:
                print(details, flush=True)
        return word == "passed "

    def run_all(self, tests, workers):
        """tests: (sentence, function, *args), so many at once."""
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(self.run, *test) for test in tests]:
                future.result()

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))
        if self.failed:
            return 1
        return 0 if self.passed else 77


def run(main):
    """Ends with main's status, or with 77 (CTest: skipped) when something it needs is not here."""
    try:
        sys.exit(main())
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(77)


def programs(build):
    """Programs of a build folder."""
    return {name: os.path.join(build, path) for name, path in (
        ("gatehoused", "daemon/gatehoused"), ("gatehouse", "daemon/cli/gatehouse"),
        ("gatehouse-host", "plugins/host/gatehouse-host"), ("ghn-sim", "stm32-nodes/ghn-sim"))}


# ---- the gateway ------------------------------------------------------------------------------------------------------


class Gateway:
    """gatehoused on a state directory of its own, with every start on the same state. Its log is kept in `log`."""

    def __init__(self, build, config="", listen=(OPEN,), folder=None, prefix=(), state=None):
        self.programs = programs(build)
        self.made = None if folder else tempfile.mkdtemp(prefix="gatehouse-e2e-")
        self.folder = folder or self.made
        self.state = state or os.path.join(self.folder, "state")
        self.runtime = os.path.join(self.folder, "run")
        self.config = os.path.join(self.folder, "gatehouse.conf")
        self.listen = listen
        self.prefix = list(prefix)  # a command that runs the daemon
        self.log = []
        self.doors = {}
        self.process = self.drainer = None
        self.write_config(config)

    def write_config(self, sections):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("[gateway]\nname = test\n" + sections)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, _error, _trace):
        if kind:
            self.show_log()
        self.end()

    def show_log(self, lines=40):
        print("  --- the gateway's log\n" + "".join("  " + line for line in self.log[-lines:]), flush=True)

    def command(self, *more):
        listen = [word for uri in self.listen for word in ("--listen", uri)]
        return [*self.prefix, self.programs["gatehoused"], "--config", self.config, "--state", self.state, "--runtime",
                self.runtime, *listen, *more]

    def launch(self):
        """Starts it and waits for nothing."""
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
        self.doors = {}
        self.drainer = None
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment)

    def start(self):
        """Starts it and waits until every door is open."""
        self.launch()
        expected = 1 + len(self.listen)  # the control socket is the first
        while len(self.doors) < expected:
            line = self.process.stderr.readline().decode(errors="replace")
            if not line:
                self.show_log()
                raise AssertionError(f"gatehoused ends with status {self.process.wait()} instead of listening")
            self.take_line(line)
        self.drainer = threading.Thread(target=self.drain, args=(self.process.stderr,), daemon=True)
        self.drainer.start()
        return self

    def take_line(self, line):
        self.log.append(line)
        found = re.search(r"listening on (\S+)", line)
        if found:
            self.doors[found.group(1)] = True

    def drain(self, pipe):
        """Until the end of its log, which is the end of the process."""
        with pipe:
            for line in pipe:
                self.log.append(line.decode(errors="replace"))

    def finish_log(self):
        if self.drainer:
            self.drainer.join(LONG)
        else:
            self.drain(self.process.stderr)

    def port(self, scheme="mqtt"):
        for name in self.doors:
            found = re.fullmatch(scheme + r"://\S+:(\d+)(/\S*)?", name)
            if found:
                return int(found.group(1))
        raise AssertionError(f"no door {scheme}://; there are {list(self.doors)}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.finish_log()

    def stop(self, number=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(timeout=LONG)
        self.finish_log()
        return status

    def restart(self):
        self.kill()
        return self.start()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def end(self):
        if self.is_running():
            self.kill()
        if self.made:
            shutil.rmtree(self.made, ignore_errors=True)

    def logged(self, pattern):
        return any(re.search(pattern, line) for line in list(self.log))

    def client(self, client_id="", **options):
        return raw.Client(self.port(), client_id, **options)

    def cli(self, *words, status=0):
        """What the command printed; fails when it ends otherwise."""
        done = subprocess.run([self.programs["gatehouse"], "--runtime", self.runtime, *words], capture_output=True,
                              text=True, timeout=LONG, check=False)
        check(done.returncode == status, f"gatehouse {' '.join(words)}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def ask(self, *words):
        """A command's answer as an object."""
        return json.loads(self.cli("--json", *words))

    def ctl(self, request, payload=b""):
        """A request on the control socket without a process of its own for it: quick enough to ask again and again."""
        return self.request("$gatehouse/ctl/" + request, payload)

    def request(self, topic, payload=b""):
        with raw.Client(os.path.join(self.runtime, "control.sock"), version=5) as asker:
            asker.subscribe("e2e/answer")
            asker.send(raw.packet(raw.PUBLISH, 0, raw.text(topic) +
                                  raw.properties(5, b"\x08" + raw.text("e2e/answer")) + payload))
            return json.loads(asker.message().payload)

    def stream(self, name):
        return next(s for s in self.ctl("stream/list")["streams"] if s["name"] == name)


# ---- certificates -----------------------------------------------------------------------------------------------------


class Certificates:
    """A CA, a server for 127.0.0.1, and whoever else is asked for; made now, good for a day."""

    def __init__(self, folder, name="ca"):
        self.openssl = find_tool("openssl")
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.ca, self.ca_key = self.path("ca.pem"), self.path("ca.key")
        self.run("req", "-x509", *self.new_key(self.ca_key), "-subj", f"/CN={name}", "-days", "1", "-out", self.ca,
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def new_key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path

    def run(self, *words):
        done = subprocess.run([self.openssl, *words], capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"openssl {words[0]}: {done.stderr}")

    def issue(self, name):
        """Paths of a certificate and its key; every one is good for 127.0.0.1, too."""
        cert, key, request, extra = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        with open(extra, "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.run("req", "-new", *self.new_key(key), "-subj", f"/CN={name}", "-out", request)
        self.run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", "1",
                 "-extfile", extra, "-out", cert)
        return cert, key

    def context(self, name=None):
        """For a client of ours, with that certificate or with none."""
        context = ssl.create_default_context(cafile=self.ca)
        if name:
            context.load_cert_chain(*self.issue(name))
        return context

    def door(self, more="", scheme="mqtts"):
        cert, key = self.issue("server")
        return f"{scheme}://127.0.0.1:0?cert={cert}&key={key}&ca={self.ca}{more}"


# ---- the cloud --------------------------------------------------------------------------------------------------------


class Cloud:
    """A Mosquitto that keeps what it has when it is stopped, always on the same port."""

    def __init__(self, folder):
        self.program = find_tool("mosquitto")
        self.folder = os.path.join(folder, "cloud")
        os.mkdir(self.folder)
        self.port = free_port()
        self.conf = os.path.join(self.folder, "mosquitto.conf")
        user = "user root\n" if os.getuid() == 0 else ""
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n{user}"
                       f"persistence_location {self.folder}/\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
                       "log_dest none\n")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "-c", self.conf], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, "mosquitto listens")

    def answers(self):
        check(self.process.poll() is None, f"mosquitto ended with status {self.process.returncode}")
        try:
            raw.Client(self.port, "probe").disconnect()
            return True
        except OSError:
            return False

    def stop(self):
        """SIGTERM: it writes down what it has. Killed, it would lose what it had acknowledged to us."""
        self.process.terminate()
        self.process.wait(timeout=LONG)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Ear(threading.Thread):
    """Subscribes with a session that lasts and keeps what it hears, in order; connects again when it must."""

    def __init__(self, address, *filters, name="ear"):
        super().__init__(daemon=True)
        self.address, self.filters, self.client_id = address, filters, name
        self.heard = collections.deque()
        self.subscribed = threading.Event()
        self.ended = False
        self.start()
        check(self.subscribed.wait(LONG), f"{name} can subscribe")

    def run(self):
        while not self.ended:
            try:
                with raw.Client(self.address, self.client_id, clean=False) as client:
                    client.subscribe(*self.filters)
                    self.subscribed.set()
                    self.listen(client)
            except (raw.Closed, OSError):
                time.sleep(0.05)  # it is away, not slow

    def listen(self, client):
        while not self.ended:
            try:
                self.heard.append(client.message(0.2))
            except raw.Timeout:
                continue

    def end(self):
        self.ended = True
        self.join(LONG)


def cut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended already


class Proxy(threading.Thread):
    """Between the gateway and the cloud. mute(): it takes no notice of anything any more and says nothing, as a network
    without a way does; connections that were open then stay dead. speak(): new ones are served again."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target = target
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.silence = threading.Event()
        self.ended = False
        self.pairs = []
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            if self.ended:
                return
            if self.silence.is_set():
                self.pairs.append((near, None))  # kept open, not answered
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=LONG)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self.pairs.append((near, far))
            dead = threading.Event()
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink, dead), daemon=True).start()

    def carry(self, source, sink, dead):
        try:
            while True:
                data = source.recv(65536)
                if self.silence.is_set():
                    dead.set()
                if dead.is_set():
                    return
                sink.sendall(data)
                if not data:
                    break
        except OSError:
            pass
        if not self.silence.is_set():
            cut(source)
            cut(sink)

    def mute(self):
        self.silence.set()

    def speak(self):
        """Those who spoke during the silence are cut off, as when a router has forgotten them."""
        muted, self.pairs = self.pairs, []
        self.silence.clear()
        for end in (end for pair in muted for end in pair if end):
            cut(end)
            end.close()

    def end(self):
        self.ended = True
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            pass
        self.door.close()
