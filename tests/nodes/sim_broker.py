#!/usr/bin/env python3
"""ghn-sim against the packaged Mosquitto: telemetry, a delta applied and reported, the broker going and coming, the will.

    sim_broker.py PATH-OF-GHN-SIM        ends with 77 when Mosquitto is not installed
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

LIMIT_S = 60
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Process:
    """A program whose lines of output are read one by one; ends with the test, whatever becomes of it."""

    running = []

    def __init__(self, *command):
        self.name = os.path.basename(command[0])
        self.p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.read = []
        Process.running.append(self)

    def line(self):
        line = self.p.stdout.readline()
        if not line:
            raise AssertionError(f"{self.name} ended, status {self.p.wait()}, after:\n" + "\n".join(self.read[-20:]))
        self.read.append(line.rstrip("\n"))
        return self.read[-1]

    def until(self, wanted):
        """The first line from here on that `wanted` (a string in it, or a function) is true for."""
        is_wanted = wanted if callable(wanted) else lambda line: wanted in line
        while not is_wanted(self.line()):
            pass
        return self.read[-1]

    def end(self, number=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(number)
        rest = self.p.stdout.read()
        self.read += rest.splitlines()
        return self.p.wait()


class Broker:
    def __init__(self, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.conf = os.path.join(folder, "mosquitto.conf")
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n")
        self.process = None

    def start(self):
        self.process = Process(shutil.which("mosquitto", path=PATH), "-c", self.conf)

    def stop(self):
        self.process.end()

    def subscribe(self, *topics):
        """Every message as a line: topic, blank, payload. Subscribed when this returns."""
        args = [arg for topic in topics + ("test/marker",) for arg in ("-t", topic)]
        p = Process(shutil.which("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-v", *args)
        while True:  # the marker comes back as soon as the subscription stands
            self.publish("test/marker", "here", retain=True)
            if p.until(lambda line: True):
                return p

    def publish(self, topic, payload, retain=False):
        subprocess.run([shutil.which("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(self.port), "-q", "1",
                        "-t", topic, "-m", payload] + (["-r"] if retain else []), check=True)


def payload_of(line):
    return json.loads(line.split(" ", 1)[1])


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def simulate(sim, broker, thing, *more):
    return Process(sim, "--port", str(broker.port), "--thing", thing, "--interval", "40", *more)


def telemetry_arrives(sim, broker):
    watcher = broker.subscribe("dt/pump/#", "gh/nodes/pump/#")
    pump = simulate(sim, broker, "pump")
    watcher.until("gh/nodes/pump/online 1")
    info = payload_of(watcher.until("gh/nodes/pump/info"))
    check(info["model"] == "simulated", info)
    for seq in range(1, 6):
        reading = payload_of(watcher.until("dt/pump/env"))
        check(reading["seq"] == seq, reading)
        check(isinstance(reading["temperature"], int) and isinstance(reading["humidity"], int), reading)
    check(pump.end() == 0, "the simulator does not end cleanly")
    check(pump.read[-1].startswith("ghn-sim nodes=1 never_ready=0 "), pump.read[-1])
    watcher.until("gh/nodes/pump/online 0")
    watcher.end()


def a_delta_is_applied_and_reported(sim, broker):
    watcher = broker.subscribe("$aws/things/valve/shadow/update", "$aws/things/valve/shadow/get")
    valve = simulate(sim, broker, "valve")
    valve.until("valve ready")
    watcher.until("$aws/things/valve/shadow/get")
    first = payload_of(watcher.until("$aws/things/valve/shadow/update"))
    check(first["state"] == {"reported": {"interval": 40, "led": False, "setpoint": 2100}}, first)
    broker.publish("$aws/things/valve/shadow/update/delta",
                   '{"version":7,"state":{"interval":25,"led":true,"colour":"red"},"clientToken":"operator"}')
    valve.until("valve applied interval=25")
    valve.until("valve applied led=true")
    valve.until('valve refused colour="red"')
    valve.until("valve desired version=7")
    valve.until("valve reported")
    second = payload_of(watcher.until("$aws/things/valve/shadow/update"))
    check(second["state"] == {"reported": {"interval": 25, "led": True, "setpoint": 2100}}, second)
    check(second["clientToken"] != first["clientToken"], second)

    broker.publish("$aws/things/valve/shadow/update/delta", '{"version":7,"state":{"interval":4000}}')
    valve.until("valve passed over version=7")
    valve.end()
    watcher.end()


def what_was_measured_while_the_broker_was_away_is_delivered(sim, broker):
    meter = simulate(sim, broker, "meter")
    meter.until("delivered seq=3")
    broker.stop()
    meter.until("lost reason=stream")
    meter.until("telemetry seq=")
    last = int(meter.until("telemetry seq=").split("seq=")[1].split()[0])
    broker.start()
    meter.until("meter ready")
    meter.until(f"delivered seq={last}")
    delivered = [int(line.split("=")[1]) for line in meter.read if " delivered seq=" in line]
    check(sorted(set(delivered)) == list(range(1, last + 1)), delivered)
    meter.end()


def a_node_that_dies_is_announced_by_its_will(sim, broker):
    watcher = broker.subscribe("gh/nodes/lamp/online")
    lamp = simulate(sim, broker, "lamp")
    watcher.until("gh/nodes/lamp/online 1")
    lamp.end(signal.SIGKILL)
    watcher.until("gh/nodes/lamp/online 0")
    watcher.end()


def many_nodes_and_a_link_that_drops(sim, broker):
    crowd = simulate(sim, broker, "crowd", "--count", "20", "--fault", "drop=300,delay=2")
    names = {f"crowd-{i}" for i in range(1, 21)}
    while names:
        names.discard(crowd.until(" reported").split()[0])
    crowd.until(" lost reason=stream")
    crowd.until(" ready")
    check(crowd.end(signal.SIGINT) == 0, "the simulator does not end cleanly")
    check(crowd.read[-1].startswith("ghn-sim nodes=20 never_ready=0 "), crowd.read[-1])


def main():
    for program in ("mosquitto", "mosquitto_pub", "mosquitto_sub"):
        if not shutil.which(program, path=PATH):
            print(f"skipped: {program} is not installed")
            return 77
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(AssertionError(f"not over after {LIMIT_S} s")))
    signal.alarm(LIMIT_S)
    sim = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="ghn-sim-") as folder:
        broker = Broker(folder)
        try:
            broker.start()
            ready = simulate(sim, broker, "first")  # tries until the broker is there
            ready.until("first ready")
            ready.end()
            for test in (telemetry_arrives, a_delta_is_applied_and_reported,
                         what_was_measured_while_the_broker_was_away_is_delivered,
                         a_node_that_dies_is_announced_by_its_will, many_nodes_and_a_link_that_drops):
                test(sim, broker)
                print(f"ok {test.__name__}", flush=True)
        finally:
            for process in Process.running:
                process.end(signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
