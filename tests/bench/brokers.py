"""The brokers that are compared: how each is set up, started, killed, started again and ended.

    with Broker(peer, setup, kit) as broker:
        broker.start()
        ... broker.uri, broker.pid, broker.start_ms
        broker.kill()
        broker.start()        # on the same folder

Every broker has a temporary folder of its own and listens on loopback. Whatever happens, what was started is ended.
"""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from rows import AUTOSAVE, DURABLE, TLS

ON_DISK = "/var/tmp"  # /tmp may be memory, and what is synced there costs nothing
LISTENING = re.compile(r"listening on mqtts?://127\.0\.0\.1:(\d+)\b.*\n")


class Failed(Exception):
    """A peer could not do what was asked; the others go on."""


class Kit:
    """The programs of a build folder, and certificates made for this run."""

    def __init__(self, build):
        self.build = Path(build).resolve()
        bench = self.build / "tests/bench"
        self.load = str(bench / "bench_load")
        self.floor = str(bench / "bench_floor")
        self.disk = str(bench / "bench_disk")
        self.batches = str(bench / "libbench_batches.so")
        self._maker = str(bench / "bench_certificates")
        self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self._folder:
            self._folder.cleanup()

    @property
    def tls(self):
        """A folder with ca.pem, server.pem, server.key, client.pem and client.key."""
        if not self._folder:
            self._folder = tempfile.TemporaryDirectory(prefix="gatehouse-bench-")
            subprocess.run([self._maker, self._folder.name], check=True)
        return Path(self._folder.name)


class Peer:
    """How to set up one broker. `prepare` returns its command line and, if it is known before, its port."""

    def __init__(self, name, program, cannot=()):
        self.name, self.program, self.cannot = name, str(program), cannot

    def prepare(self, folder, setup, kit):
        raise NotImplementedError


class Gatehouse(Peer):
    def prepare(self, folder, setup, kit):
        config = folder / "gatehouse.conf"
        config.write_text("[gateway]\nqueue-max = 10000000\n")
        uri = "mqtt://127.0.0.1:0?access=open"
        if setup == TLS:
            uri = f"mqtts://127.0.0.1:0?cert={kit.tls}/server.pem&key={kit.tls}/server.key&ca={kit.tls}/ca.pem&access=full"
        return [self.program, "--config", str(config), "--state", str(folder / "state"),
                "--runtime", str(folder / "runtime"), "--listen", uri], None


class Mosquitto(Peer):
    def prepare(self, folder, setup, kit):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true",
                 "max_queued_messages 0", "max_queued_bytes 0", "max_inflight_messages 0", "log_dest none",
                 "log_type none"]
        if setup == TLS:
            lines += [f"cafile {kit.tls}/ca.pem", f"certfile {kit.tls}/server.pem", f"keyfile {kit.tls}/server.key",
                      "require_certificate true", "tls_version tlsv1.3"]
        if setup in (DURABLE, AUTOSAVE):
            lines += ["persistence true", f"persistence_location {folder}/"]
        else:
            lines.append("persistence false")
        if setup == AUTOSAVE:
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        if os.geteuid() == 0:
            lines.append("user root")  # otherwise it gives up the right to read its own configuration
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [self.program, "-c", str(config)], port


class Floor(Peer):
    def prepare(self, folder, setup, kit):
        if setup == TLS:
            return [self.program, "--listen", "mqtts://127.0.0.1:0", "--tls", str(kit.tls)], None
        return [self.program], None


class Broker:
    def __init__(self, peer, setup, kit, before=(), environment=None):
        self.peer, self.setup, self.kit = peer, setup, kit
        self.before = list(before)  # words in front of the command
        self.environment = {**os.environ, **(environment or {})}
        self.process = None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=ON_DISK)
        self.folder = Path(self._folder.name)
        return self

    def __exit__(self, *why):
        try:
            if self.process:
                self.end()
        finally:
            self._folder.cleanup()

    def start(self, patience_s=10):
        command, port = self.peer.prepare(self.folder, self.setup, self.kit)
        log = self.folder / "log"
        with self._notified() as (notify, environment):
            try:
                with log.open("wb") as err:
                    self.process = subprocess.Popen(self.before + command, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                                    cwd=self.folder, env=environment, start_new_session=True)
                    began = time.monotonic()  # Popen() comes back when the program runs
            except OSError as e:
                raise Failed(f"{command[0]}: {e.strerror}") from e
            self.pid = self.process.pid
            port, ready = self._wait(log, port, notify, patience_s)
            self.start_ms = (ready - began) * 1000
        self.uri = f"{'mqtts' if self.setup == TLS else 'mqtt'}://127.0.0.1:{port}"

    @contextlib.contextmanager
    def _notified(self):
        """A socket as systemd gives one: READY=1 comes at the moment, and nobody disturbs the start by asking whether it is
        over, which on two cores takes as long again."""
        path = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            try:
                yield notify, {**self.environment, "NOTIFY_SOCKET": str(path)}
            finally:
                path.unlink()

    def _wait(self, log, port, notify, patience_s):
        """The port, which the log names unless it was chosen by us, and when it was ready: as it says itself, else when
        somebody could connect."""
        deadline, ready = time.monotonic() + patience_s, None
        notify.settimeout(0.02)
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"ended with status {self.process.returncode}: {log.read_text(errors='replace').strip()}")
            if ready is None:
                with contextlib.suppress(TimeoutError):
                    ready = time.monotonic() if b"READY=1" in notify.recv(4096) else None
            said = LISTENING.search(log.read_text(errors="replace")) if port is None else None
            port = int(said[1]) if said else port
            if port is not None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return port, ready or time.monotonic()
        raise Failed(f"does not listen after {patience_s} s")

    def kill(self):
        """As if the power had gone, as far as a process can tell."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
