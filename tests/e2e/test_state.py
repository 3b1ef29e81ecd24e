#!/usr/bin/python3
"""The state directory: missing, unreadable, read-only, in use, damaged, full. A clear error, nothing lost, no crash.

    tests/e2e/test_state.py BUILD

Full and read-only file systems are small ones in a mount namespace of their own, which ends with the test.
"""
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile

import gateway
import raw
import seglog
from drill import Publisher, Sequence
from gateway import Skip, check

CONFIG = "[stream kept]\nsegment-size = 64K\n[route kept]\nfilter = kept/#\nstream = kept\n"
SECRET = ("[stream {name}]\nsegment-size = 64K\nencrypt = yes\n{more}"
          "[route {name}]\nfilter = {name}/#\nstream = {name}\n")
SHADOW = "$aws/things/pump/shadow/"
FOREVER = struct.pack("!BI", raw.SESSION_EXPIRY, 0xFFFFFFFF)


class Mount:
    """A tmpfs nobody else sees, for programs started with `prefix`; `inside` is the way there for us."""

    def __init__(self, folder, options):
        if os.getuid() != 0:
            raise Skip("only root may mount")
        self.folder = folder
        script = f'mount -t tmpfs -o {options} none "$1" && echo mounted && exec cat'
        self.keeper = subprocess.Popen(
            [gateway.find_tool("unshare"), "-m", "--propagation", "private", "sh", "-c", script, "sh", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "mounted\n":
            self.keeper.wait()
            raise Skip(f"cannot mount: {self.keeper.stderr.read().strip()}")
        self.prefix = [gateway.find_tool("nsenter"), "-t", str(self.keeper.pid), "-m"]
        self.inside = f"/proc/{self.keeper.pid}/root{folder}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.keeper.stdin.close()
        self.keeper.wait()


class House:
    """One gateway's state that is good before each test looks at what happens when it is not."""

    def __init__(self, suite, folder):
        self.suite, self.folder = suite, folder

    def gateway(self, name, **options):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        return gateway.Gateway(self.suite.build, CONFIG, folder=folder, **options)

    @staticmethod
    def refuses(gw, *words):
        """Does not start: status 1, and an error that has these words."""
        gw.launch()
        before = len(gw.log)
        status = gw.wait()
        text = "".join(gw.log[before:])
        check(status == 1, f"the status is {status}: {text}")
        for word in words:
            check(word in text, f"expected {word!r} in {text!r}")
        check("error: " in text, f"expected an error in {text!r}")

    def used(self, name):
        """A gateway that has a record, a shadow and a retained message, and has stopped."""
        gw = self.gateway(name)
        gw.start()
        with gw.client("writer") as writer:
            writer.publish("kept/a", "record")
            writer.publish(SHADOW + "update", '{"state":{"desired":{"on":true}}}')
            writer.publish("state/a", "retained", retain=True)
        check(gw.stop() == 0, "the daemon stops with status 0")
        return gw

    @staticmethod
    def has_all(gw):
        gw.start()
        with gw.client("reader") as reader:
            reader.subscribe("state/a", SHADOW + "get/accepted")
            check(reader.message().payload == b"retained", "the retained message is there")
            reader.publish(SHADOW + "get", "")
            check(json.loads(reader.message().payload)["state"]["desired"] == {"on": True}, "the shadow is there")
        check(gw.stop() == 0, "the daemon stops with status 0")

    # ---- the directory ----

    def missing(self):
        gw = self.gateway("missing", state=os.path.join(self.folder, "no", "where"))
        self.refuses(gw, gw.state, "No such file or directory")
        gw.state = os.path.join(self.folder, "new")
        gw.start()
        check(os.stat(gw.state).st_mode & 0o777 == 0o700, "a directory that only its parent has is made, for its user alone")
        gw.kill()

    def not_a_directory(self):
        gw = self.gateway("not-a-directory")
        with open(gw.state, "w", encoding="ascii") as file:
            file.write("a letter\n")
        self.refuses(gw, gw.state, "Not a directory")
        with open(gw.state, encoding="ascii") as file:
            check(file.read() == "a letter\n", "it is what it was")

    def unreadable(self):
        gw = self.used("unreadable")
        prefix = self.as_nobody(gw)
        for mode in (0o000, 0o500):
            os.chmod(gw.state, mode)
            gw.prefix = prefix
            self.refuses(gw, gw.state, "Permission denied")
            gw.prefix = []
            os.chmod(gw.state, 0o700)
        self.has_all(gw)

    def as_nobody(self, gw):
        """A command that runs the daemon as somebody to whom permissions apply."""
        if os.getuid() != 0:
            return []
        prefix = [gateway.find_tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run([*prefix, gw.programs["gatehoused"], "--version"], capture_output=True, check=False)
        if done.returncode:
            raise Skip("nobody may not run the program where it was built")
        os.chmod(self.folder, 0o755)
        for folder in (gw.folder, os.path.join(gw.folder, "run")):
            os.chmod(folder, 0o777)
        return prefix

    def read_only(self):
        gw = self.gateway("read-only")
        os.mkdir(gw.state)
        with Mount(gw.state, "size=1m,ro") as mount:
            gw.prefix = mount.prefix
            self.refuses(gw, gw.state, "Read-only file system")

    def in_use(self):
        gw = self.used("in-use")
        gw.start()
        with gw.client("witness") as witness:
            other = gateway.Gateway(self.suite.build, CONFIG, folder=gw.folder)
            self.refuses(other, gw.state, "in use")
            other.runtime = os.path.join(self.folder, "other-run")
            self.refuses(other, gw.state, "in use")
            witness.ping()
            check(gw.ctl("gateway/status")["pid"] == gw.process.pid, "the first goes on, its control socket, too")
        gw.kill()
        self.has_all(gw)

    def something_else_there(self):
        for what in ("state.db", "lock"):
            gw = self.gateway("directory-" + what)
            os.makedirs(os.path.join(gw.state, what))
            self.refuses(gw, what)
        for what in ("streams", "run"):
            gw = self.gateway("file-" + what)
            gw.runtime = os.path.join(gw.state, "run")
            os.mkdir(gw.state)
            with open(os.path.join(gw.state, what), "w", encoding="ascii") as file:
                file.write("a letter\n")
            self.refuses(gw, what)

    # ---- damage ----

    def damaged(self, name, damage, *words):
        gw = self.used(name)
        path = os.path.join(gw.state, "state.db")
        whole = os.path.join(gw.folder, "whole.db")
        shutil.copy(path, whole)
        damage(path)
        before = fingerprint(gw.state)
        self.refuses(gw, path, *words)
        after = fingerprint(gw.state)
        check(before.items() <= after.items(), f"nothing was changed: {sorted(before.items() ^ after.items())}")
        added = after.keys() - before.keys()  # SQLite leaves its helpers when it may not tidy up
        check(added <= {"state.db-wal", "state.db-shm"}, f"nothing else was added: {added}")
        check(not os.path.exists(path + "-wal") or os.path.getsize(path + "-wal") == 0, "and nothing is to be added")
        shutil.copy(whole, path)
        self.has_all(gw)

    def damaged_database(self):
        """Where nothing can be read. What is done where something can: test_shadow.py"""
        self.damaged("garbage", overwrite(0, b"this is not a database, it only looks like one\n" * 10000), "is damaged")
        self.damaged("torn", lambda path: os.truncate(path, 6000), "is damaged")
        self.damaged("newer", from_the_future, "newer")

    def damaged_segment(self):
        """A record that is broken in the middle: those around it are served, and the log says so."""
        gw = self.gateway("segment")
        gw.start()
        publisher = [gw.client("writer").publish("kept/a", f"record {k}") for k in range(50)]
        check(not any(publisher), "fifty records are kept")
        gw.stop()
        folder = os.path.join(gw.state, "streams", "kept")
        path = os.path.join(folder, sorted(name for name in os.listdir(folder) if name.endswith(".seg"))[0])
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(data.index(b"record 20"))
            file.write(b"rubbish!!")
        size = os.path.getsize(path)
        gw.start()
        with gw.client("writer") as writer:
            check(writer.publish("kept/a", "record 50") == 0, "it goes on taking records")
        gw.stop()
        gateway.wait_for(lambda: gw.logged("damaged"), "the damage is told")
        check(os.path.getsize(path) >= size, "the file is not cut")
        payloads = [payload for _, _, payload in seglog.read(folder)]
        check(len(payloads) == 51 and payloads[-1] == b"record 50", f"{len(payloads)} records are there")

    # ---- encryption ----

    def encrypted(self):
        """Nothing of a stream that is encrypted is in the state directory, killed or stopped; without its key it is left alone."""
        gw = self.gateway("encrypted")
        keys = os.path.join(gw.folder, "keys")
        os.mkdir(keys)
        with open(os.path.join(keys, "sealed"), "wb") as file:
            file.write(os.urandom(48))
        os.chmod(file.name, 0o400)
        sections = SECRET.format(name="ours", more="") + SECRET.format(name="packed", more="compress = yes\n")
        gw.write_config(sections)
        for key, path in (("", "device.key"), ("streams-key = $CREDENTIALS_DIRECTORY/sealed\n", file.name)):
            gw.write_config(key + sections)
            gw.prefix = ["env", f"CREDENTIALS_DIRECTORY={keys}"]
            path = os.path.join(gw.state, path)
            gw.start()
            for k in range(40):
                with gw.client("writer", version=5) as writer:
                    for name in ("ours", "packed"):
                        check(writer.publish(f"{name}/whereabouts", "what nobody else may read " * 200) == 0, "it is kept")
            gw.restart()
            for name in ("ours", "packed"):
                lines = [json.loads(line) for line in gw.cli("--json", "stream", "read", name).splitlines()]
                found = [r for line in lines for r in line.get("records", [line])]
                check(len(found) == 40 and all("nobody else" in str(r) for r in found), f"{len(found)} records of {name}")
                check(gw.ask("stream", "describe", name)["definition"]["encrypt"] is True, "describe says it")
            check(os.stat(path).st_mode & 0o077 == 0, "the key is its owner's")
            check(gw.stop() == 0, "the daemon stops with status 0")
            for text in (b"whereabouts", b"nobody else may", open(path, "rb").read()):
                holders = [f for f in files(gw.state) if text in open(f, "rb").read() and f != path]
                check(not holders, f"{text!r} is in {holders}")
            os.rename(path, path + ".away")
            before = fingerprint(gw.state)
            self.is_locked(gw, "the device key is missing")
            with open(path, "wb") as other:
                other.write(bytes(32))
            os.chmod(path, 0o600)
            self.is_locked(gw, "another key")
            os.remove(path)
            after = fingerprint(gw.state)
            streams = [name for name in before if "streams" in name]
            check(streams and all(after.get(name) == before[name] for name in streams), "nothing was changed")
            os.rename(path + ".away", path)
            gw.start()
            check("nobody else may" in gw.cli("stream", "read", "ours"), "with the key it is as before")
            check(gw.stop() == 0, "the daemon stops with status 0")
            shutil.rmtree(gw.state)

    def is_locked(self, gw, why):
        """It starts, and what comes for the streams is refused."""
        gw.start()
        locked = gw.ask("stream", "list")["locked"]
        check([stream["name"] for stream in locked] == ["ours", "packed"], f"locked: {locked}")
        check(all(why in stream["reason"] for stream in locked), f"locked: {locked}")
        check(why in gw.cli("stream", "list"), "the table says it")
        with gw.client("writer", version=5) as writer:
            check(writer.publish("ours/whereabouts", "too early") >= 0x80, "what is routed there is refused")
            check(writer.publish("$gatehouse/streams/ours/append", "too early") >= 0x80, "what is appended is refused")
        check(gw.stop() == 0, "the daemon stops with status 0")

    # ---- no room ----

    def full_disk(self):
        gw = self.gateway("full")
        os.mkdir(gw.state)
        with Mount(gw.state, "size=4m") as mount:
            gw.prefix = mount.prefix
            gw.start()
            try:
                FullDisk(gw, mount).run()
            except BaseException:
                gw.show_log()
                raise
            finally:
                gw.end()

    def full_queues(self):
        gw = self.gateway("full-queues")
        os.mkdir(gw.state)
        with Mount(gw.state, "size=6m") as mount:
            gw.prefix = mount.prefix
            gw.start()
            try:
                FullQueues(gw, mount).run()
            except BaseException:
                gw.show_log()
                raise
            finally:
                gw.end()


def fill(mount):
    """Takes all the room there is; how to give it back."""
    ballast = os.path.join(mount.inside, "ballast")
    with open(ballast, "ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return lambda: os.remove(ballast)


class FullDisk:
    def __init__(self, gw, mount):
        self.gw, self.mount = gw, mount
        self.acked, self.refused, self.sent = [], 0, 0

    def publish(self, version):
        """One record: is it acknowledged? A client of 3.1.1 is thrown out instead of being told."""
        self.sent += 1
        payload = f"record {self.sent} ".encode() + b"." * 500
        with self.gw.client(f"writer-{version}", version=version) as writer:
            try:
                reason = writer.publish("kept/a", payload)
            except raw.Closed:
                check(version == 4, "a client of 5.0 is told, not thrown out")
                reason = 0x97
        if reason == 0:
            self.acked.append(payload)
        else:
            check(reason in (0x97, 0x80), f"the reason is 0x{reason:02x}")
            self.refused += 1
        return reason == 0

    def update(self, client, number):
        client.publish(SHADOW + "update", json.dumps({"state": {"desired": {"n": number}}}))
        found = client.message()
        return found.topic.rsplit("/", 1)[1], json.loads(found.payload)

    def run(self):
        gw = self.gw
        with gw.client("watcher", version=5) as watcher:
            watcher.subscribe(SHADOW + "update/accepted", SHADOW + "update/rejected", SHADOW + "get/accepted", "plain/#")
            for version in (4, 5) * 5:
                check(self.publish(version), "records are kept while there is room")
            check(self.update(watcher, 1)[0] == "accepted", "so is a shadow")
            check(watcher.publish("state/a", "before", retain=True) == 0, "so is a retained message")

            give_back = fill(self.mount)
            self.publish_until_refused()
            number = self.until_refused(watcher)
            check(gw.is_running(), "the daemon runs")
            self.still_serves(watcher, number)

            give_back()
            gateway.wait_for(lambda: self.publish(5), "records are taken again when there is room")
            check(self.publish(4), "and go on being taken")
            word, document = self.update(watcher, number + 100)
            check(word == "accepted", f"so are shadows: {document}")
            check(watcher.publish("state/a", "after", retain=True) == 0, "and retained messages")
        self.start_without_room(number + 100)

    def publish_until_refused(self):
        """By clients of both versions. What is in the files already has room, and a file that was not made gives some back."""
        row = 0
        for k in range(400):
            row = 0 if self.publish(4 + k % 2) else row + 1
            if row == 4:
                return
            fill(self.mount)
        raise AssertionError("records are still acknowledged when there is no room")

    def until_refused(self, watcher):
        """The last number of the shadow that was accepted."""
        number = 1
        for attempt in range(2, 300):
            word, document = self.update(watcher, attempt)
            if word == "rejected":
                check(document["code"] >= 500, f"a refusal that is not the client's fault: {document}")
                return number
            number = attempt
        raise AssertionError("shadows are still accepted when there is no room")

    def still_serves(self, watcher, number):
        watcher.publish("plain/a", "hello")
        check(watcher.message().payload == b"hello", "messages that nobody promised to keep go through")
        watcher.publish(SHADOW + "get", "")
        check(json.loads(watcher.message().payload)["state"]["desired"] == {"n": number},
              "a shadow can be read, and is what was accepted last")
        with self.gw.client("reader") as reader:
            reader.subscribe("state/#")
            check(reader.message().payload == b"before", "retained messages can be read")
        check(self.gw.ctl("stream/list")["streams"][0]["name"] == "kept", "commands are answered")

    def start_without_room(self, number):
        """Killed and started while there is no room: it runs, or says why not; afterwards everything is there."""
        gw = self.gw
        give_back = fill(self.mount)
        gw.kill()
        gw.launch()
        line = ""
        while "listening on mqtt://" not in line:
            line = gw.process.stderr.readline().decode(errors="replace")
            gw.log.append(line)
            if not line:
                check(gw.wait() == 1 and "No space left" in "".join(gw.log[-10:]), "who cannot start says why")
                break
        if gw.is_running():
            gw.kill()
        give_back()
        gw.start()
        with gw.client("reader", version=5) as reader:
            reader.subscribe(SHADOW + "get/accepted", "state/#")
            check(reader.message().payload == b"after", "the retained message is there")
            reader.publish(SHADOW + "get", "")
            check(json.loads(reader.message().payload)["state"]["desired"] == {"n": number}, "the shadow is there")
        check(self.publish(5) and gw.stop() == 0, "it goes on, and stops with status 0")
        found = [payload for _, _, payload in seglog.read(os.path.join(self.mount.inside, "streams", "kept"))]
        missing = [payload[:12] for payload in self.acked if payload not in found]
        check(not missing, f"acknowledged, but not there: {missing}")
        check([p for p in found if p in self.acked] == self.acked, "in the order in which they were acknowledged")
        print(f"          {len(self.acked)} acknowledged, {self.refused} refused, {len(found)} records")



class FullQueues:
    """Messages for clients that are away, when there is no room to keep them."""

    def __init__(self, gw, mount):
        self.gw, self.mount = gw, mount
        self.acked, self.refused, self.sent = [], [], 0

    def publish(self, version, qos):
        """One message of a client with a session that lasts: is it acknowledged?"""
        self.sent += 1
        payload = f"message {self.sent} ".encode() + b"." * 500
        with self.gw.client(f"writer-{self.sent}", version=version) as writer:
            try:
                reason = writer.publish("away/a", payload, qos=qos)
            except raw.Closed:
                check(version == 4, "a client of 5.0 is told, not thrown out")
                reason = 0x97
        check(reason in (0, 0x97), f"the reason is 0x{reason:02x}")
        (self.refused if reason else self.acked).append(payload)
        return reason == 0

    def until_refused(self):
        kinds = [(version, qos) for version in (4, 5) for qos in (1, 2)]
        row = 0
        for k in range(2000):
            row = 0 if self.publish(*kinds[k % 4]) else row + 1
            if row == 4:
                return
            fill(self.mount)
        raise AssertionError("messages are still acknowledged when there is no room to keep them")

    def absentee(self, name, qos, version=4):
        client = self.gw.client(name, version=version, clean=False, props=FOREVER if version == 5 else b"")
        if not client.connack.session_present:
            client.subscribe("away/#", qos=qos)
        return client

    def run(self):
        gw = self.gw
        self.absentee("away/1", 1).disconnect()
        self.absentee("away/2", 2, version=5).disconnect()
        self.absentee("away/3", 1).disconnect()
        for version, qos in ((4, 1), (5, 1), (4, 2), (5, 2)) * 5:
            check(self.publish(version, qos), "messages are kept while there is room")
        give_back = fill(self.mount)
        self.until_refused()
        check(gw.is_running(), "the daemon runs")
        with gw.client("reader", version=5) as reader:
            reader.subscribe("plain/#", qos=2)
            check(reader.publish("plain/a", "hello", qos=2) == 0, "who is there is served")
            check(reader.message().payload == b"hello", "with what nobody has to keep")
        fill(self.mount)
        try:
            gw.client("away/3", clean=False, will=("wills/3", "gone", 1, False)).disconnect()
            check(False, "a will that cannot be kept is not promised")
        except AssertionError as refused:
            check("CONNECT was refused" in str(refused), f"{refused}")
        self.has_all("away/3", 1, 4)  # who was away may come and fetch what waits
        gateway.wait_for(lambda: gw.logged("let in, though there is no room"), "which the log says")
        give_back()
        gateway.wait_for(lambda: self.publish(5, 2), "messages are kept again when there is room")
        for version, qos in ((4, 1), (5, 1), (4, 2)):
            check(self.publish(version, qos), "and go on being kept")

        give_back = fill(self.mount)
        self.until_refused()
        gw.kill()
        give_back()
        gw.start()
        for version, qos in ((4, 1), (5, 1), (4, 2), (5, 2)):
            check(self.publish(version, qos), "so it is after a start")
        for name, qos, version in (("away/1", 1, 4), ("away/2", 2, 5)):
            self.has_all(name, qos, version)
        check(gw.stop() == 0, "the daemon stops with status 0")
        print(f"          {len(self.acked)} acknowledged, {len(self.refused)} refused")

    def has_all(self, name, qos, version):
        with self.absentee(name, qos, version) as client:
            found = [client.message().payload for _ in self.acked]
            client.ping()
            check(found == self.acked and not client.messages,
                  f"{name}: what was acknowledged is there, in order, once: {len(found)} of {len(self.acked)}")


def files(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names
            if os.path.isfile(os.path.join(where, name))]


def fingerprint(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path) and name != "lock":
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


def overwrite(offset, data):
    def damage(path):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)
    return damage


def from_the_future(path):
    database = sqlite3.connect(path)
    database.execute("INSERT INTO migration (number, name, applied) VALUES (9999, 'from-the-future', 0)")
    database.commit()
    database.close()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        house = House(suite, folder)
        suite.run("a state directory that is missing is made, or told", house.missing)
        suite.run("a file where the state directory should be is told", house.not_a_directory)
        suite.run("a state directory that is not ours is told", house.unreadable)
        suite.run("a read-only file system is told", house.read_only)
        suite.run("a second daemon on the same state is told, and disturbs nobody", house.in_use)
        suite.run("something else where a file of ours should be is told", house.something_else_there)
        suite.run("a damaged database is told and not touched", house.damaged_database)
        suite.run("a damaged record costs nobody but itself", house.damaged_segment)
        suite.run("of a stream that is encrypted nothing is in the state directory but the key", house.encrypted)
        suite.run("no room for those who are away: their senders are refused, nothing acknowledged is lost", house.full_queues)
        suite.run("a full disk refuses, serves and recovers; nothing acknowledged is lost", house.full_disk)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
