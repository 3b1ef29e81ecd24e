#!/usr/bin/python3
"""Plugins that crash, hang and leak: nobody else notices, they are replaced, and get what they had not acknowledged.

    tests/e2e/test_plugins.py BUILD

A daemon with five plugins, and two stock clients that exchange messages all the time. Every wait has an end; nothing depends on
how long things take.
"""
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import paho.mqtt.client as mqtt

LONG = 90  # seconds until a wait gives up; nothing is expected to take that long


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)
    print("  " + sentence, flush=True)


def new_client(name):
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, client_id=name)
    return mqtt.Client(client_id=name)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(what, sentence):
    end = time.monotonic() + LONG
    while not what():
        if time.monotonic() > end:
            raise AssertionError("does not happen: " + sentence)
        time.sleep(0.05)
    print("  " + sentence, flush=True)


class Daemon:
    """gatehoused with a configuration; its log goes through us, so that failures can show it."""

    def __init__(self, build, folder, sections):
        config = os.path.join(folder, "gatehouse.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write("[gateway]\nname = test\n" + sections)
        program = os.path.join(build, "daemon", "gatehoused")
        command = [program, "--config", config, "--state", os.path.join(folder, "state"),
                   "--runtime", os.path.join(folder, "run"), "--listen", "mqtt://127.0.0.1:0?access=open"]
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace",
                                        env=environment)
        self.log = []
        self.port = None
        threading.Thread(target=self.read_log, daemon=True).start()
        wait_for(lambda: self.port or self.process.poll() is not None, "the daemon listens")
        check(self.port, f"on port {self.port}")

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"listening on mqtt://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=LONG)


class Ear:
    """Subscribes and keeps what it hears."""

    def __init__(self, port, name, *filters):
        self.heard = queue.Queue()
        self.last = {}
        self.client = new_client(name)
        subscribed = threading.Event()
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in filters])
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        if not subscribed.wait(LONG):
            raise AssertionError(f"{name} cannot subscribe")

    def on_message(self, _client, _userdata, message):
        text = message.payload.decode()
        self.last[message.topic] = text
        self.heard.put((message.topic, text))

    def status(self, plugin):
        return json.loads(self.last.get(f"$gatehouse/status/plugins/{plugin}", "{}"))

    def expect(self, topic, text, sentence):
        end = time.monotonic() + LONG
        others = []
        while True:
            try:
                found = self.heard.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{sentence}: no {text!r} on {topic}; heard {others}") from None
            if found[0] == topic and re.fullmatch(text, found[1]):
                print("  " + sentence, flush=True)
                return found[1]
            others.append(found)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Bystanders:
    """One publishes numbers at QoS 1, each after the last was acknowledged; the other must hear all of them in order."""

    def __init__(self, port):
        self.ear = Ear(port, "bystander-ear", "bystander/#")
        self.mouth = new_client("bystander-mouth")
        self.lost = threading.Event()
        self.mouth.on_disconnect = lambda _c, _u, r, *_: self.lost.set() if r else None
        self.mouth.connect("127.0.0.1", port)
        self.mouth.loop_start()
        self.count = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.talk)
        self.thread.start()

    def talk(self):
        while not self.stop.is_set():
            info = self.mouth.publish("bystander/number", str(self.count), qos=1)
            info.wait_for_publish(LONG)
            if not info.is_published():
                return
            self.count += 1

    def finish(self):
        self.stop.set()
        self.thread.join(LONG)
        check(not self.thread.is_alive() and not self.lost.is_set(), "the bystanders were never disconnected")
        heard = []
        while len(heard) < self.count:
            heard.append(int(self.ear.heard.get(timeout=LONG)[1]))
        check(heard == list(range(self.count)), f"and exchanged {self.count} messages in order meanwhile")
        self.mouth.disconnect()
        self.mouth.loop_stop()
        self.ear.close()


def sections(build):
    def plugin(name, path, publish, subscribe, *more):
        lines = [f"[plugin {name}]", f"path = {build}/{path}", f"publish = {publish}",
                 f"subscribe = {subscribe}", *more]
        return "\n".join(lines) + "\n"

    unruly = [plugin(name, "tests/plugins/unruly.so", f"done/{name}", f"work/{name}")
              for name in ("crash", "hang", "leak")]
    return "".join(unruly) + plugin("hello", "plugins/hello/hello.so", "hello/answer", "hello/ask") + plugin(
        "threshold", "plugins/threshold/threshold.so", "alarm/#", "dt/+/env", "topic = dt/+/env", "field = temp",
        "above = 30", "hysteresis = 1", "alarm = alarm/${1}")


def is_sanitized(build):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        return re.search(r"^GATEHOUSE_SANITIZE:\w+=.+$", file.read(), re.M) is not None


PLUGINS = ("crash", "hang", "leak", "hello", "threshold")


def all_running(ear, plugins=PLUGINS):
    return all(ear.status(name).get("state") == "running" for name in plugins)


def misbehave(build, daemon):
    ear = Ear(daemon.port, "ear", "done/#", "alarm/#", "hello/answer", "$gatehouse/status/plugins/+")
    wait_for(lambda: all_running(ear), "all plugins run")
    hello_pid = ear.status("hello")["pid"]
    bystanders = Bystanders(daemon.port)
    talker = ear.client

    # A sanitizer needs more memory than any limit: there is none then, and a leak would take the machine's.
    bad = {"crash": "boom", "hang": "hang"}
    if not is_sanitized(build):
        bad["leak"] = "leak"
    for name, word in bad.items():
        talker.publish(f"work/{name}", word, qos=1)
        talker.publish(f"work/{name}", "the next", qos=1)

    talker.publish("hello/ask", "anybody?", qos=1)
    ear.expect("hello/answer", "anybody\\?", "hello answers while the others misbehave")
    for temp in (20, 31, 32, 25):
        talker.publish("dt/b1/env", json.dumps({"temp": temp}), qos=1)
    ear.expect("alarm/b1", r'\{"state":"raised".*"value":31.*\}', "threshold raises its alarm")
    ear.expect("alarm/b1", r'\{"state":"cleared".*"value":25.*\}', "and clears it")

    answers = {}
    end = time.monotonic() + LONG
    while any(len(answers.get(name, [])) < 2 for name in bad) and time.monotonic() < end:
        try:
            topic, text = ear.heard.get(timeout=1)
        except queue.Empty:
            continue
        if topic.startswith("done/"):
            answers.setdefault(topic.split("/")[1], []).append(text)
    for name, word in bad.items():
        said = answers.get(name, [])
        check(said and said[0] == "again " + word, f"{name}: a new process got the message it had not acknowledged")
        check(len(said) == 2 and said[1].endswith("the next"), f"{name}: and the one behind it")
    wait_for(lambda: all_running(ear), "all plugins run again")
    reasons = {name: ear.status(name).get("reason") or "" for name in bad}
    check("signal 11" in reasons["crash"], f"crash: {reasons['crash']}")
    check("did not keep alive" in reasons["hang"], f"hang: {reasons['hang']}")
    check("leak" not in bad or "signal" in reasons["leak"], f"leak: {reasons.get('leak', 'not tried')}")
    for name in bad:
        check(ear.status(name)["restarts"] == 1, f"{name}: was started again once")
    check(ear.status("hello")["pid"] == hello_pid, "hello is the process it was")
    bystanders.finish()
    pids = [ear.status(name)["pid"] for name in PLUGINS]
    ear.close()
    return pids


def main():
    build = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        daemon = Daemon(build, folder, sections(build))
        try:
            pids = misbehave(build, daemon)
            check(daemon.end(signal.SIGTERM) == 0, "the daemon stops with status 0")
            check(not any(is_alive(pid) for pid in pids), "and its plugins have stopped before it")

            daemon = Daemon(build, folder, sections(build))
            ear = Ear(daemon.port, "ear", "$gatehouse/status/plugins/+")
            wait_for(lambda: all_running(ear), "all plugins run")
            pids = [ear.status(name)["pid"] for name in PLUGINS]
            ear.client.publish("work/hang", "hang", qos=1).wait_for_publish(LONG)
            daemon.end(signal.SIGKILL)
            ear.client.loop_stop()
            wait_for(lambda: not any(is_alive(pid) for pid in pids), "plugins die with a daemon that is killed")
        except BaseException:
            print("".join(daemon.log[-100:]), file=sys.stderr)
            raise
        finally:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
    print("plugins: fine")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
