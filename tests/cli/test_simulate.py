#!/usr/bin/python3
"""uplink simulate, without a daemon: what is given is what is simulated, and the answer is what schema/json/ says.

    tests/cli/test_simulate.py BUILD
"""
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import gateway  # noqa: E402
from gateway import check  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None

CONFIG = """
[uplink cloud]
uri = mqtts://cloud.example
rate = 20kbit
[uplink other]
uri = mqtt://other.example
[stream telemetry]
uplink = other, cloud
priority = 5
deadline = 30s
live-share = 70
max-size = 8M
[stream alarms]
uplink = cloud
priority = 1
[stream elsewhere]
uplink = other
[stream local]
"""


def simulate(build, *words, status=0):
    program = os.path.join(build, "daemon", "cli", "gatehouse")
    done = subprocess.run([program, "uplink", "simulate", *words], capture_output=True, text=True, timeout=120,
                          check=False, stdin=subprocess.DEVNULL)
    check(done.returncode == status, f"{words}: status {done.returncode}: {done.stderr}")
    return done


def predict(build, *words):
    answer = json.loads(simulate(build, "--json", *words).stdout)
    if jsonschema:
        with open(os.path.join(ROOT, "schema", "json", "uplink-simulate.schema.json"), encoding="utf-8") as file:
            jsonschema.validate(answer, json.load(file))
    for stream in answer["streams"]:
        check(stream["produced"] == stream["accepted"] + stream["refused"], f"{stream}")
        check(stream["accepted"] == stream["delivered"] + stream["expired"] + stream["evicted"] + stream["pending"],
              f"the books balance: {stream}")
    return answer


def named(answer, name):
    return next(stream for stream in answer["streams"] if stream["name"] == name)


def arguments_are_streams_and_traffic(build):
    answer = predict(build, "telemetry=10/s*200,deadline=30s", "alarms=1/m*100,priority=1", "--outage", "1h", "--rate",
                     "40kbit")
    check(answer["until"] == 2 * 3600 * 1000 and answer["rate"] == 40000, "twice the outage")
    check(named(answer, "telemetry")["produced"] == 72000 and named(answer, "alarms")["produced"] == 120, "all came")
    check(named(answer, "alarms")["pending"] <= 1, "alarms go first")
    check(named(answer, "telemetry")["late"] > 36000 and named(answer, "telemetry")["pending"] > 1000, "telemetry waits")
    check([c["priority"] for c in answer["classes"]] == [1, 5], "classes")
    table = simulate(build, "telemetry=10/s*200", "--rate", "40kbit").stdout
    check("telemetry" in table and "40 kbit/s" in table, "and a table for people")


def a_configuration_says_what_goes_to_an_uplink(build):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gatehouse.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG)
        os.mkdir(path + ".d")
        with open(os.path.join(path + ".d", "1.conf"), "w", encoding="utf-8") as file:
            file.write("[stream alarms]\npriority = 2\n")
        answer = predict(build, "--config", path, "telemetry=1/s*100")
        check(answer["uplink"] == "cloud" and answer["rate"] == 20000, f"the first uplink: {answer}")
        check([s["name"] for s in answer["streams"]] == ["telemetry", "alarms"], "the streams that go there")
        check(named(answer, "alarms")["priority"] == 2, "drop-ins are read")
        other = predict(build, "--config", path, "--uplink", "other", "--rate", "1mbit")
        check([s["name"] for s in other["streams"]] == ["telemetry", "elsewhere"] and other["rate"] == 1000000, "the other")
        check("[uplink fog]" in simulate(build, "--config", path, "--uplink", "fog", status=1).stderr, "there is none")
        with open(path, "a", encoding="utf-8") as file:
            file.write("uplink = cloud\nwindow = night\n")
        check("[stream local] window: expected at most 4 times" in simulate(build, "--config", path, status=1).stderr, "what is wrong")
    check("expected" in simulate(build, "--config", path, status=1).stderr, "no such file")


def a_trace_is_traffic(build):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace")
        with open(path, "w", encoding="utf-8") as file:
            file.write("# gatehouse trace\n")
            for i in range(1000):
                file.write(f"{5000 + 100 * i} telemetry 200\n")
        answer = predict(build, "telemetry=priority=3", "--trace", path)
        check(answer["until"] == 99900, "as long as the trace")
        check(named(answer, "telemetry")["produced"] == 1000 and named(answer, "telemetry")["priority"] == 3, f"{answer}")
        with open(path, "a", encoding="utf-8") as file:
            file.write("1 telemetry 1\n")
        told = simulate(build, "a=1/s*1", "--trace", path, status=1).stderr
        check(f"{path}:1002: expected a time that is not before the line above" in told, told)
        check("No such file" in simulate(build, "a=1/s*1", "--trace", path + "x", status=1).stderr, "no such file")


def what_waits_drains(build):
    stream = named(predict(build, "a=1/s*100,pending=3600*100", "--rate", "5kbit", "--for", "2h"), "a")
    check(stream["produced"] == 3600 + 7200 and 1000 * 1000 < stream["caughtUp"] < 2000 * 1000, f"it has caught up: {stream}")


def six_hours_of_a_hundred_records_a_second_are_quick(build):
    """Two seconds of processor time are asked for; the wall is for a machine that has other things to do, too."""
    begin = time.monotonic()
    answer = predict(build, "telemetry=100/s*200,live-share=70,max-size=1G", "alarms=1/m*100,priority=1", "--outage", "3h",
                     "--rate", "1mbit")
    check(named(answer, "telemetry")["produced"] == 2160000, "all of them")
    print(f"      {time.monotonic() - begin:.2f} s")


def main():
    suite = gateway.Suite(sys.argv[1])
    for test in (arguments_are_streams_and_traffic, a_configuration_says_what_goes_to_an_uplink, a_trace_is_traffic,
                 what_waits_drains, six_hours_of_a_hundred_records_a_second_are_quick):
        suite.run(test.__name__.replace("_", " "), test, suite.build)
    return suite.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main())
