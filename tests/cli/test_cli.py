#!/usr/bin/python3
"""The command line and the daemon, as an administrator has them: every command against a real gateway.

    tests/cli/test_cli.py BUILD
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import gateway  # noqa: E402
import raw  # noqa: E402
from gateway import check, wait_for  # noqa: E402

CONFIG = """
[uplink cloud]
uri = mqtt://127.0.0.1:{port}
rate = 64kbit
[stream telemetry]
uplink = cloud
priority = 3
[stream local]
[route env]
filter = dt/+/env
stream = telemetry
[plugin hello]
path = {build}/plugins/hello/hello.so
subscribe = hello/ask
publish = hello/answer
"""


class Listening:
    """A `gatehouse sub` that runs meanwhile; what it says is read all the time. It hears when `topic` was heard."""

    def __init__(self, gw, topic, *words):
        command = [gw.programs["gatehouse"], "--runtime", gw.runtime, "sub", topic, *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        with gw.client() as prober:
            wait_for(lambda: prober.send(raw.publish(topic, b"ready?")) or self.lines, "sub hears")

    def read(self):
        self.lines.extend(line for line in self.process.stdout)

    def heard(self):
        return [line for line in list(self.lines) if "ready?" not in line]

    def wait(self, count):
        wait_for(lambda: len(self.heard()) >= count, f"{count} lines come")
        return self.heard()

    def end(self, status=0):
        """What it said on stderr."""
        if status == 0:
            self.process.terminate()
        self.process.wait(timeout=gateway.LONG)
        self.reader.join(gateway.LONG)
        with self.process.stderr as err:
            text = err.read()
        check(self.process.returncode == status, f"sub ends with {self.process.returncode}: {text}")
        return text


def with_input(gw, data, *words, status=0):
    """A command with standard input: (stdout, stderr)."""
    done = subprocess.run([gw.programs["gatehouse"], "--runtime", gw.runtime, *words], input=data,
                          timeout=gateway.LONG, capture_output=True, check=False)
    check(done.returncode == status, f"{words}: status {done.returncode}: {done.stderr}")
    return done.stdout.decode(), done.stderr.decode()


def status(gw):
    text = gw.cli("status")
    for part in ("test: gatehouse ", "connected", "listens   mqtt://127.0.0.1:", "telemetry", "cloud", "hello"):
        check(part in text, f"{part!r} is in it: {text}")
    answer = gw.ask("status")
    check(set(answer) == {"gateway", "broker", "http", "streams", "uplinks", "plugins"}, f"its members: {set(answer)}")
    check(answer["gateway"]["name"] == "test" and answer["gateway"]["pid"] == gw.process.pid, "it is this gateway")
    check(f"mqtt://127.0.0.1:{gw.port()}" in [door["uri"] for door in answer["broker"]["listeners"]], "with its listener")
    check([s["name"] for s in answer["streams"]] == ["telemetry", "local"], "and its streams")


def what_is_refused_is_counted(gw):
    with gw.client("deep", version=5) as client:
        check(client.publish("a" + "/a" * 200, "x") == 0x90, "a topic of 201 levels is refused")
    text = gw.cli("metrics")
    for line in ('gatehouse_mqtt_refusals_total{what="publish",reason="topic name invalid"} 1',
                 f'gatehouse_listener_accepted_total{{listener="mqtt://127.0.0.1:{gw.port()}"}} ', "gatehouse_uptime_seconds ",
                 'gatehouse_stream_pending_records{stream="telemetry"} ', 'gatehouse_plugin_up{plugin="hello"} 1',
                 "# TYPE gatehouse_mqtt_connections gauge"):
        check("\n" + line in text, f"{line!r} is in the metrics: {text}")
    check("refused   publish: 1 topic name invalid" in gw.cli("status"), "the status says it, too")
    check(gw.cli("sub", "-n", "1", "$SYS/broker/refused/publish/0x90") == "$SYS/broker/refused/publish/0x90 1\n",
          "so do the figures that other brokers have")


def pub_and_sub(gw):
    hearing = Listening(gw, "y", "x/#")
    gw.cli("pub", "x/1", "21.5")
    gw.cli("pub", "-q", "0", "y", "quick")
    gw.cli("pub", "-q", "2", "y", "two words")
    gw.cli("pub", "-q", "2", "x", "--", "-5")
    gw.cli("pub", "z", "not for us")
    gw.cli("pub", "y", "last")
    lines = hearing.wait(5)
    check(lines == ["x/1 21.5\n", "y quick\n", "y two words\n", "x -5\n", "y last\n"], f"heard in order: {lines}")
    hearing.end()


def quality_of_service(gw):
    for qos in ("0", "1", "2"):
        gw.cli("pub", "--retain", "-q", qos, f"qos/{qos}", "1")
    heard = [json.loads(line) for line in gw.cli("--json", "sub", "--retained-only", "qos/+").splitlines()]
    check(sorted((m["topic"], m["qos"], m["retain"]) for m in heard) ==
          [("qos/0", 0, True), ("qos/1", 1, True), ("qos/2", 2, True)], f"as they were published: {heard}")
    heard = [json.loads(line) for line in gw.cli("--json", "sub", "-n", "3", "qos/+").splitlines()]
    check({m["qos"] for m in heard} == {0}, f"0 unless more is asked for: {heard}")


def retained(gw):
    gw.cli("pub", "-r", "keep/a", "1")
    gw.cli("pub", "-r", "keep/b", "2")
    check(sorted(gw.cli("sub", "--retained-only", "keep/#").splitlines()) == ["keep/a 1", "keep/b 2"], "kept")
    check(gw.cli("sub", "--no-retained", "-t", "1", "keep/#") == "", "left out when not wanted")
    gw.cli("pub", "-r", "keep/a", "")
    check(gw.cli("sub", "--retained-only", "keep/#") == "keep/b 2\n", "an empty one takes it back")
    check(gw.cli("sub", "--retained-only", "nothing/here", "$gatehouse/nothing") == "", "nothing retained ends, too")


def many_lines(gw):
    numbers = [str(i) for i in range(20000)]
    hearing = Listening(gw, "lines", "-q", "1")
    out, _ = with_input(gw, "\n".join(numbers).encode(), "pub", "--json", "-l", "lines")
    check(json.loads(out) == {"published": len(numbers)}, "all are acknowledged")
    check([line.split()[1] for line in hearing.wait(len(numbers))] == numbers, "and heard in order")
    hearing.end()


def a_large_message(gw):
    data = os.urandom(700000)
    hearing = Listening(gw, "large", "--json")
    with_input(gw, data, "pub", "-s", "large")
    check(base64.b64decode(json.loads(hearing.wait(1)[0])["base64"]) == data, "comes whole")
    hearing.end()
    _, err = with_input(gw, os.urandom(1200000), "pub", "-s", "large", status=1)
    check("too long" in err, f"beyond packet-max it is refused: {err}")


def shadows(gw):
    check("version 1" in gw.cli("shadow", "update", "press-7", '{"state":{"desired":{"led":true,"big":1.0}}}'), "updated")
    text = gw.cli("shadow", "get", "press-7", "--json")
    check(text.count("\n") == 1 and '"big":1.0' in text, f"one line, numbers as they were: {text}")
    document = json.loads(text)
    check(document["state"] == {"desired": {"led": True, "big": 1.0}, "delta": {"led": True, "big": 1.0}}, f"{document}")
    check("clientToken" not in document, "without the token of the command line")
    check('  "state": {\n' in gw.cli("shadow", "get", "press-7"), "indented for people")
    check("version 2" in with_input(gw, b'{"reported":{"led":true}}', "shadow", "update", "press-7", "-")[0], "from stdin")
    refused(gw, "409", "shadow", "update", "press-7", '{"state":{"desired":{"led":false}},"version":1}')
    check(gw.ask("shadow", "update", "press-7", '{"desired":{"n":1}}', "--name", "firmware")["version"] == 1, "a named one")
    check(gw.ask("shadow", "get", "press-7", "--name", "firmware")["state"]["desired"] == {"n": 1}, "is another one")
    check("version 2" in gw.cli("shadow", "delete", "press-7"), "deleted")
    refused(gw, "404", "shadow", "get", "press-7")
    refused(gw, "404", "shadow", "delete", "press-7")
    refused(gw, "400", "shadow", "get", "not a name")
    refused(gw, "400", "shadow", "update", "press-7", '{"state":5}')
    refused(gw, "400", "shadow", "update", "press-7", "{}")
    for size in (10000, 120000):
        refused(gw, "413", "shadow", "update", "press-7", json.dumps({"desired": {"x": "x" * size}}))
    huge = json.dumps({"desired": {"x": "x" * 131072}}).encode()
    check("131072" in with_input(gw, huge, "shadow", "update", "press-7", "-", status=1)[1], "told at once when it is huge")


def refused(gw, code, *words):
    """A sentence on stderr, and with --json the document on stdout."""
    done = subprocess.run([gw.programs["gatehouse"], "--runtime", gw.runtime, *words], capture_output=True, text=True,
                          timeout=gateway.LONG, check=False)
    check(done.returncode == 1 and done.stderr.startswith("gatehouse: ") and not done.stdout,
          f"{words}: {done.returncode} {done.stdout} {done.stderr}")
    answer = json.loads(gw.cli("--json", *words, status=1))
    check(str(answer["code"]) == code and answer["message"] in done.stderr, f"{words}: {answer}, {done.stderr}")


def streams(gw):
    before = gw.ask("stream", "list")["streams"][0]
    check(before["name"] == "telemetry" and before["uplink"] == "cloud" and before["priority"] == 3, f"{before}")
    for i in range(3):
        gw.cli("pub", "dt/press-7/env", f'{{"n":{i}}}')
    gw.cli("pub", "$gatehouse/streams/telemetry/append", "directly")
    after = gw.ask("stream", "list")["streams"][0]
    check(after["next"] - before["next"] == 4 and after["pending"] == 4, "acknowledged means it is in the stream")
    lines = gw.cli("stream", "list").splitlines()
    check(lines[0].split()[:5] == ["STREAM", "UPLINK", "PRIORITY", "NEXT", "PENDING"], f"a table: {lines[0]}")
    check(lines[1].split()[:5] == ["telemetry", "cloud", "3", "4", "4"], f"{lines[1]}")
    check(lines[2].split()[:5] == ["local", "-", "5", "0", "-"], f"{lines[2]}")


def keep_publishing(gw, ended):
    with gw.client("busy") as client:
        while not ended.wait(0.02):
            client.publish("$gatehouse/streams/telemetry/append", b"x" * 10)


def made_streams(gw):
    check(gw.cli("stream", "create", "made", "max-size=2M", "on-full=overwrite") == "stream made: created\n", "made")
    refused = json.loads(gw.cli("--json", "stream", "create", "other", "max-size=2", status=1))["message"]
    check("maxSize: expected a size" in refused, f"a value that is none: {refused}")
    gw.cli("stream", "create", "other", "colour", status=2)
    for i in range(3):
        gw.cli("stream", "append", "made", f'{{"n":{i}}}')
    gw.cli("stream", "append", "nowhere", "x", status=1)
    lines = gw.cli("stream", "read", "made").splitlines()
    check([line.split()[0] for line in lines] == ["0", "1", "2"], f"three records: {lines}")
    check(lines[2].endswith('streams/made {"n":2}'), f"{lines[2]}")
    records = [json.loads(line) for line in gw.cli("--json", "stream", "read", "made", "--from", "1").splitlines()]
    check([r["seq"] for r in records] == [1, 2], f"from the first on: {records}")
    check(len(gw.cli("stream", "tail", "made", "--from", "0", "-n", "2").splitlines()) == 2, "tail ends after two")
    check(gw.cli("stream", "cursor", "made", "create", "mine", "1") == "cursor mine: at 1\n", "a cursor")
    check(gw.cli("stream", "read", "made", "--cursor", "mine", "-n", "1").split()[0] == "1", "reads from there")
    check(gw.cli("stream", "cursor", "made", "move", "mine", "next") == "cursor mine: at 3\n", "moves")
    check(gw.cli("stream", "cursor", "made").splitlines()[1].split()[0] == "mine", "is listed")
    answer = gw.ask("stream", "verify")
    check(answer["balanced"] is True and len(answer["streams"]) == 3, f"all books balance: {answer}")
    check("stream made: balances" in gw.cli("stream", "verify", "made"), "as text, too")
    check(gw.cli("stream", "cursor", "made", "delete", "mine") == "cursor mine: deleted\n", "gone")
    check(gw.ask("stream", "describe", "made")["definition"]["maxSize"] == 2 << 20, "what it was made of")
    trace = gw.cli("stream", "trace", "made", "telemetry").splitlines()
    check(trace[0].startswith("#") and trace[1].startswith("0 telemetry "), f"a trace: {trace}")
    size = str(len(records[0]["topic"]) + len('{"n":0}'))
    check([line.split()[1:] for line in trace if " made " in line] == [["made", size]] * 3, f"of its records: {trace}")
    path = os.path.join(gw.folder, "trace")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(trace))
    predicted = gw.ask("uplink", "simulate", "--trace", path, "--for", "1m")
    check([s["name"] for s in predicted["streams"]] == ["telemetry"], f"the streams of the gateway: {predicted}")
    check(predicted["rate"] == 64000 and predicted["window"] > 0, f"and its uplink: {predicted}")
    check(predicted["streams"][0]["priority"] == 3 and predicted["streams"][0]["delivered"] == 4, f"{predicted}")
    busy = threading.Event()
    publisher = threading.Thread(target=keep_publishing, args=(gw, busy))
    publisher.start()
    try:
        measured = gw.ask("uplink", "simulate", "--measure", "1", "--for", "1h")["streams"][0]
    finally:
        busy.set()
        publisher.join()
    check(measured["produced"] > 100 and measured["accepted"] >= 104 and measured["deliveredBytes"] > 100 * 10, f"what comes is measured: {measured}")
    check(gw.cli("stream", "update", "made", "max-size=4M", "uplink=cloud") == "stream made: changed\n", "changed")
    check(gw.ask("stream", "describe", "made")["definition"]["maxSize"] == 4 << 20, "what it is now")
    gw.cli("stream", "update", "made", "max-size=1", status=1)
    gw.cli("stream", "update", "made", status=2)
    check(gw.cli("stream", "exporter", "made", "cloud", "pause") == "stream made: uplink cloud: paused\n", "paused")
    lines = gw.cli("stream", "list").splitlines()
    check(any(line.split()[:3] == ["made", "cloud", "3"] and "it is paused" in line for line in lines), f"why: {lines}")
    check("it is paused" in gw.cli("status"), "status says why, too")
    check(gw.cli("stream", "exporter", "made", "cloud", "resume") == "stream made: uplink cloud: resumed\n", "resumed")
    check(gw.cli("stream", "exporter", "made", "cloud", "move", "2") == "stream made: uplink cloud: at 2\n", "moved")
    gw.cli("stream", "exporter", "made", "cloud", "move", status=2)
    gw.cli("stream", "exporter", "made", "cloud", "stop", status=2)
    gw.cli("stream", "exporter", "made", "moon", "pause", status=1)
    gw.cli("stream", "retry", "made", status=1)
    gw.cli("stream", "create", "dead-letters")
    gw.cli("stream", "append", "dead-letters", '{"stream":"made","topic":"a","payload":"1"}')
    check(gw.cli("stream", "retry", "made") == "stream made: 1 dead letters were sent back to it\n", "retried")
    gw.cli("stream", "delete", "dead-letters")
    gw.cli("stream", "delete", "telemetry", status=1)
    check(gw.cli("stream", "delete", "made") == "stream made: deleted\n", "deleted")
    gw.cli("stream", "describe", "made", status=1)


def uplinks(gw):
    def state():
        return gw.ask("uplink", "list")["uplinks"][0]

    wait_for(lambda: state()["state"] == "down", "nobody is there")
    check("cloud" in gw.cli("uplink", "list") and state()["reason"] in gw.cli("uplink", "list"), "the table says why")
    check(gw.cli("uplink", "cut", "cloud") == "uplink cloud: down\n", "cut")
    check("cut" in state()["reason"], f"{state()}")
    check(gw.cli("uplink", "restore", "cloud") == "uplink cloud: connecting\n", "restored")
    wait_for(lambda: "cut" not in (state()["reason"] or ""), "it tries again")
    check(gw.ask("uplink", "cut", "cloud")["name"] == "cloud", "as JSON")
    refused(gw, "404", "uplink", "cut", "fog")
    refused(gw, "404", "uplink", "restore", 'a "quoted" name')
    table = gw.cli("uplink", "status").splitlines()
    check(table[0].split()[:3] == ["UPLINK", "KIND", "STATE"] and table[1].split()[:3] == ["cloud", "mqtt", "down"], f"{table}")
    check(gw.cli("uplink", "status", "cloud").splitlines()[1].split()[0] == "cloud", "one of them")
    check(gw.ask("uplink", "status", "cloud")["kind"] == "mqtt", "as JSON")
    gw.cli("uplink", "status", "fog", status=1)


def plugins(gw):
    def hello():
        return gw.ask("plugin", "list")["plugins"][0]

    wait_for(lambda: hello()["state"] == "running", "hello runs")
    before = hello()
    check(str(before["pid"]) in gw.cli("plugin", "list"), "the table has its pid")
    check(gw.cli("plugin", "restart", "hello") == "plugin hello: restarting\n", "restarted")
    wait_for(lambda: hello()["state"] == "running" and hello()["pid"] != before["pid"], "another process runs")
    check(gw.ask("plugin", "restart", "hello") == {"name": "hello"}, "as JSON")
    refused(gw, "404", "plugin", "restart", "hullo")


def nothing_configured(suite):
    with gateway.Gateway(suite.build) as gw:
        for noun in ("stream", "plugin", "uplink"):
            check(f"[{noun} NAME]" in gw.cli(noun, "list"), "an empty list says how to begin")
            check(gw.ask(noun, "list")[noun + "s"] == [], "as JSON it is empty")
        text = gw.cli("status")
        check("STREAM" not in text and "test: gatehouse" in text, "status has no empty tables")


def the_daemon_stops(suite):
    with gateway.Gateway(suite.build) as gw:
        hearing = Listening(gw, "a")
        check(gw.stop() == 0, "the daemon stops")
        check("shutting down" in hearing.end(3).lower(), "sub says so")
        gw.cli("status", status=3)


TESTS = (status, what_is_refused_is_counted, pub_and_sub, quality_of_service, retained, many_lines, a_large_message, shadows, streams, made_streams, uplinks, plugins)


def main():
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-cli-") as folder:
        config = CONFIG.format(port=gateway.free_port(), build=suite.build)
        with gateway.Gateway(suite.build, config, folder=folder) as gw:
            for test in TESTS:
                suite.run(test.__name__.replace("_", " "), test, gw)
            if suite.failed:
                gw.show_log()
    suite.run("nothing configured", nothing_configured, suite)
    suite.run("the daemon stops", the_daemon_stops, suite)
    return suite.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main())
