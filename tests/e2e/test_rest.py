#!/usr/bin/python3
"""REST on the real daemon: shadows and publishing by curl and Python's http.client, over HTTP, HTTPS with certificates of both
sides, and a Unix socket.

    tests/e2e/test_rest.py BUILD [--kills N]

The worked examples of the shadow reference run from tests/services/shadow/examples.json. Their clock is made up and the
daemon's is not, so each of their seconds stands for the time in which its step ran.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import gateway
import raw
from gateway import check

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "services", "shadow", "examples.json")
EXAMPLES_START = 1760000000
LIST = "/api/things/shadow/ListNamedShadowsForThing/"


class Stage:
    def __init__(self, gw, certificates, path):
        self.gw, self.certificates, self.path = gw, certificates, path

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.gw.port("http"), timeout=raw.LONG)

    def connect_secure(self, name):
        return http.client.HTTPSConnection("127.0.0.1", self.gw.port("https"), timeout=raw.LONG,
                                           context=self.certificates.context(name))

    def raw_socket(self):
        return socket.create_connection(("127.0.0.1", self.gw.port("http")), timeout=raw.LONG)

    def curl(self, *words, status, door="http"):
        """The answer's object, or None when it has no body."""
        ways = {"http": ([], f"http://127.0.0.1:{self.gw.port('http')}"),
                "unix": (["--unix-socket", self.path], "http://gateway"),
                "https": (["--cacert", self.certificates.ca], f"https://127.0.0.1:{self.gw.port('https')}")}
        options, base = ways[door]
        *words, target = words
        done = subprocess.run([gateway.find_tool("curl"), "-sS", *options, *words, "-w", "\n%{http_code}", base + target],
                              capture_output=True, text=True, timeout=raw.LONG, check=False)
        check(done.returncode == 0, f"curl {target}: {done.stderr}")
        body, _, found = done.stdout.rpartition("\n")
        check(int(found) == status, f"curl {words} {target}: expected {status}, found {found}: {body}")
        return json.loads(body) if body else None


def ask(connection, method, target, body=None, status=200, headers=None):
    connection.request(method, target, body, headers or {}, encode_chunked="Transfer-Encoding" in (headers or {}))
    answer = connection.getresponse()
    text = answer.read()
    check(answer.status == status, f"{method} {target}: expected {status}, found {answer.status}: {text}")
    return json.loads(text) if text else None


# ---- shadows ----------------------------------------------------------------------------------------------------------


def by_curl(stage, door):
    thing = f"/things/curl-{door}/shadow"
    missing = stage.curl(thing, status=404, door=door)
    check(missing == {"code": 404, "message": f"No shadow exists with name: 'curl-{door}'"}, f"of a missing one: {missing}")
    update = '{"state":{"desired":{"interval":30}},"clientToken":"r1"}'
    made = stage.curl("-d", update, thing, status=200, door=door)
    check(made["version"] == 1 and made["clientToken"] == "r1" and made["state"] == {"desired": {"interval": 30}}, f"{made}")
    stale = stage.curl("-d", '{"state":{},"version":9}', thing, status=409, door=door)
    check(stale["message"] == "Version conflict", f"of another version: {stale}")
    found = stage.curl(thing, status=200, door=door)
    check(found["state"] == {"desired": {"interval": 30}, "delta": {"interval": 30}}, f"the document: {found}")
    gone = stage.curl("-X", "DELETE", thing, status=200, door=door)
    check(sorted(gone) == ["timestamp", "version"] and gone["version"] == 1, f"deleted: {gone}")
    stage.curl("-X", "DELETE", thing, status=404, door=door)
    stage.curl("-X", "PUT", "-d", "{}", thing, status=405, door=door)
    large = "@" + os.path.join(stage.gw.folder, "large")
    with open(large[1:], "w", encoding="ascii") as file:
        file.write(json.dumps({"state": {"reported": {"log": "x" * 100_000}}}))
    stage.curl("-d", large, "-H", "Expect: 100-continue", thing, status=413, door=door)
    stage.curl("-d", large, "-H", "Transfer-Encoding: chunked", thing, status=413, door=door)


class Windows:
    """Which real seconds a second of the examples stands for."""

    def __init__(self):
        self.windows = {}

    def run(self, at, function):
        begin = int(time.time())
        found = function()
        first, last = self.windows.get(at, (begin, 0))
        self.windows[at] = min(first, begin), max(last, int(time.time()))
        return found

    def same(self, found, expected, where=""):
        """Equal but for the times in metadata and at the top."""
        if where.endswith("/timestamp") and not where.startswith("/state") and isinstance(expected, int):
            first, last = self.windows[expected]
            check(first <= found <= last, f"{where}: {found} is not between {first} and {last}")
        elif isinstance(expected, dict) and isinstance(found, dict):
            check(sorted(found) == sorted(expected), f"{where}: expected {sorted(expected)}, found {sorted(found)}")
            for key, value in expected.items():
                self.same(found[key], value, f"{where}/{key}")
        elif isinstance(expected, list) and isinstance(found, list):
            check(len(found) == len(expected), f"{where}: expected {expected}, found {found}")
            for one, other in zip(found, expected):
                self.same(one, other, where + "/")
        else:
            check(found == expected and isinstance(found, bool) == isinstance(expected, bool),
                  f"{where}: expected {expected!r}, found {found!r}")


def request_of(topic):
    levels = topic.split("/")
    name = "?name=" + urllib.parse.quote(levels[5]) if levels[4] == "name" else ""
    method = {"get": "GET", "update": "POST", "delete": "DELETE"}[levels[-1]]
    return method, f"/things/{urllib.parse.quote(levels[2])}/shadow{name}"


def examples(stage):
    with open(EXAMPLES, encoding="utf-8") as file:
        examples_of_reference = json.load(file)
    connection, windows = stage.connect(), {}
    for example in examples_of_reference:
        first_topic = example["steps"][0]["topic"]
        shadow = windows.setdefault(first_topic.rpartition("/")[0], Windows())
        for payload in example["before"]:
            method, target = request_of(first_topic.rpartition("/")[0] + "/update")
            shadow.run(EXAMPLES_START, lambda: ask(connection, method, target, payload))
        for step in example["steps"]:
            example_step(connection, shadow, example["number"], step)


def example_step(connection, shadow, number, step):
    method, target = request_of(step["topic"])
    expected = next(m["payload"] for m in step["messages"] if m["topic"].endswith(("/accepted", "/rejected")))
    token = method == "POST" and "clientToken" in expected
    expected = {key: value for key, value in expected.items() if key != "clientToken" or token}
    payload = step["payload"] if method == "POST" else None
    found = shadow.run(step["t"], lambda: ask(connection, method, target, payload, expected.get("code", 200)))
    try:
        shadow.same(found, expected)
    except AssertionError as error:
        raise AssertionError(f"example {number}: {error}") from error


def seen_over_mqtt(stage):
    topic = "$aws/things/seen/shadow/update"
    connection = stage.connect()
    with stage.gw.client("watcher") as watcher:
        watcher.subscribe(topic + "/#")
        ask(connection, "POST", "/things/seen/shadow", '{"state":{"desired":{"a":1}},"clientToken":"c"}')
        watcher.message()  # the request
        heard = [watcher.message() for _ in range(3)]
        check([m.topic for m in heard] == [topic + "/delta", topic + "/documents", topic + "/accepted"], f"heard {heard}")
        check(all(json.loads(m.payload)["clientToken"] == "c" for m in heard), "with the client's token")


def pages(stage):
    connection = stage.connect()
    names = sorted(f"n{i}" for i in range(60))
    check(ask(connection, "GET", LIST + "paged")["results"] == [], "a thing without shadows has an empty list")
    ask(connection, "POST", "/things/paged/shadow", '{"state":{}}')
    for name in random.sample(names, len(names)):
        ask(connection, "POST", f"/things/paged/shadow?name={name}", '{"state":{}}')
    for query, size in (("", 25), ("pageSize=7&", 7), ("pageSize=100&", 100)):
        found, token, count = [], "", 0
        while True:
            page = ask(connection, "GET", f"{LIST}paged?{query}{token}")
            check(len(page["results"]) <= size and isinstance(page["timestamp"], int), f"a page: {page}")
            found += page["results"]
            count += 1
            if "nextToken" not in page:
                break
            token = "nextToken=" + urllib.parse.quote(page["nextToken"], safe="")
        check(found == names, f"pages of {size}: {found}")
        check(count == -(-len(names) // size), f"{count} pages of {size}")
    for query in ("pageSize=0", "pageSize=101", "pageSize=x", "nextToken=%21", "nextToken=Z"):
        ask(connection, "GET", f"{LIST}paged?{query}", status=400)


def kept_through_kills(stage, kills):
    """What was answered with 200 is there after kill -9."""
    for _ in range(kills):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            promised = [pool.submit(update_until_it_dies, stage.connect(), f"kill{i}") for i in range(4)]
            time.sleep(random.uniform(0.05, 0.3))  # the moment is drawn by lot
            stage.gw.kill()
            promised = [one.result() for one in promised]
        stage.gw.start()
        connection = stage.connect()
        for i, version in enumerate(promised):
            if version:
                found = ask(connection, "GET", f"/things/kill{i}/shadow")["version"]
                check(version <= found <= version + 1, f"version {version} was promised, {found} is there")


def update_until_it_dies(connection, thing):
    version = 0
    try:
        while True:
            version = ask(connection, "POST", f"/things/{thing}/shadow", '{"state":{"reported":{"a":1}}}')["version"]
    except (OSError, http.client.HTTPException):
        return version


# ---- publishing -------------------------------------------------------------------------------------------------------


def publishing(stage):
    connection = stage.connect()
    with stage.gw.client("listener") as listener:
        listener.subscribe("dt/#")
        for target, topic in (("dt/a", "dt/a"), ("dt%2Fb%2fc", "dt/b/c"), ("dt/gr%C3%BC%C3%9Fe", "dt/grüße")):
            for qos in (0, 1):
                body = random.randbytes(2000)
                check(ask(connection, "POST", f"/topics/{target}?qos={qos}", body)["message"] == "OK", "it is taken")
                found = listener.message()
                check((found.topic, found.payload, found.qos, found.retain) == (topic, body, qos, False), f"published: {found}")
        ask(connection, "POST", "/topics/dt/kept?qos=1&retain=true", b"stays")
    with stage.gw.client("late") as late:
        late.subscribe("dt/kept")
        found = late.message()
        check(found.retain and found.payload == b"stays", f"retained: {found}")
    body = random.randbytes(1_000_000)
    with stage.gw.client("large") as large:
        large.subscribe("large")
        ask(connection, "POST", "/topics/large?qos=1", iter([body[:1], body[1:500_000], body[500_000:]]),
            headers={"Transfer-Encoding": "chunked"})
        check(large.message().payload == body, "a large body in chunks")
    ask(connection, "POST", "/topics/a/%23", b"", status=400)
    ask(connection, "POST", "/topics/a?qos=2", b"", status=400)
    ask(connection, "POST", "/topics/", b"", status=400)
    stage.curl("-d", "x=1", "-H", "Expect: 100-continue", "/topics/dt/b", status=200)


# ---- who may ----------------------------------------------------------------------------------------------------------


def certificates_of_both_sides(stage):
    pump = stage.connect_secure("pump")
    ask(pump, "POST", "/things/pump/shadow", '{"state":{"reported":{"rpm":900}}}')
    check(ask(pump, "GET", "/things/pump/shadow")["state"] == {"reported": {"rpm": 900}}, "its own shadow")
    ask(pump, "GET", LIST + "pump")
    ask(pump, "POST", "/topics/dt/pump/env?qos=1", b"21")
    for method, target in (("GET", "/things/valve/shadow"), ("POST", "/things/valve/shadow"), ("GET", LIST + "valve"),
                           ("DELETE", "/things/valve/shadow?name=pump"), ("POST", "/topics/dt/valve/env"),
                           ("POST", "/topics/%24aws/things/pump/shadow/update/accepted")):
        refused = ask(stage.connect_secure("pump"), method, target, "{}", status=403)
        check(refused["message"] == "Forbidden" and refused["traceId"], f"{method} {target}: {refused}")
    stage.curl("--cert", stage.certificates.path("pump.pem"), "--key", stage.certificates.path("pump.key"),
               "/things/pump/shadow", status=200, door="https")


def pages_in_browsers(stage):
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:80"}):
        for method, target in (("POST", "/topics/dt/x"), ("GET", "/things/pump/shadow")):
            ask(stage.connect(), method, target, "x" if method == "POST" else None, 403, headers)


def strangers(stage, folder):
    for context in (ssl.create_default_context(cafile=stage.certificates.ca), stage.certificates.context(None)):
        refused_by_tls(stage, context)
    others = gateway.Certificates(folder, "others")
    context = ssl.create_default_context(cafile=stage.certificates.ca)
    context.load_cert_chain(*others.issue("pump"))
    refused_by_tls(stage, context)


def refused_by_tls(stage, context):
    connection = http.client.HTTPSConnection("127.0.0.1", stage.gw.port("https"), timeout=raw.LONG, context=context)
    try:
        connection.request("GET", "/things/pump/shadow")
        connection.getresponse()
    except (ssl.SSLError, OSError, http.client.HTTPException):
        return
    raise AssertionError("who has no certificate of the authority is let in")


def protocols(stage):
    for asked, chosen in ((["x-amzn-http-ca"], "x-amzn-http-ca"), (["h2", "http/1.1"], "http/1.1"), (["mqtt"], None)):
        context = stage.certificates.context("pump")
        context.set_alpn_protocols(asked)
        with socket.create_connection(("127.0.0.1", stage.gw.port("https")), timeout=raw.LONG) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    found = secured.selected_alpn_protocol()
            except ssl.SSLError:
                found = None
        check(found == chosen, f"of {asked} it chose {found}")


def new_certificate(stage):
    """SIGHUP: who comes then is shown the new one; who is there stays."""
    stays = stage.connect_secure("pump")
    ask(stays, "GET", LIST + "pump")
    before = stays.sock.getpeercert()["serialNumber"]
    stage.certificates.issue("server")
    stage.gw.process.send_signal(signal.SIGHUP)
    gateway.wait_for(lambda: serial_of_new_connection(stage) != before, "the new certificate is shown")
    ask(stays, "GET", LIST + "pump")


def counts(stage):
    status = stage.gw.ctl("http/status")
    check(status["requests"] > 100 and status["unauthorized"] > 6 and status["refused"] > status["unauthorized"], f"{status}")
    check([one["uri"].split(":")[0] for one in status["listeners"]] == ["http", "unix", "https"], f"its listeners: {status}")
    expires = [one["expires"] - time.time() for one in status["certificates"]]
    check(len(expires) == 1 and 0 < expires[0] < 2 * 86400, f"a certificate for a day: {status['certificates']}")


def metrics(stage):
    connection = stage.connect()
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read().decode()
    check(answer.status == 200 and answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8",
          f"as Prometheus asks: {answer.status} {answer.headers}")
    for line in ("# TYPE gatehouse_http_requests_total counter\ngatehouse_http_requests_total ",
                 f'gatehouse_listener_accepted_total{{listener="http://127.0.0.1:{stage.gw.port("http")}',
                 "gatehouse_mqtt_connections "):
        check("\n" + line in text, f"{line!r} is in {text}")
    names = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    check(len(names) == len(set(names)) > 40, f"each has its type once: {names}")
    refused = ask(stage.connect_secure("pump"), "GET", "/metrics", status=403)
    check(refused["message"] == "Forbidden", "a node has no business there")


def serial_of_new_connection(stage):
    connection = stage.connect_secure("pump")
    ask(connection, "GET", LIST + "pump")
    return connection.sock.getpeercert()["serialNumber"]


# ---- connections ------------------------------------------------------------------------------------------------------


def keep_alive(stage):
    connection = stage.connect()
    ask(connection, "POST", "/things/kept/shadow", '{"state":{}}')
    first = connection.sock
    for version in range(2, 102):
        found = ask(connection, "POST", "/things/kept/shadow", '{"state":{}}')
        check(found["version"] == version, f"version {version}, found {found}")
    check(connection.sock is first, "all on one connection")


def pipelining(stage, count=300):
    body = b'{"state":{"reported":{"a":1}}}'
    one = b"POST /things/ahead/shadow HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with stage.raw_socket() as plain:
        plain.sendall(one * count)
        stream = plain.makefile("rb")
        for version in range(1, count + 1):
            found = json.loads(read_answer(stream)[1])
            check(found["version"] == version, f"answer {version} says {found}")


def read_answer(stream):
    status = int(stream.readline().split()[1])
    size = 0
    while (line := stream.readline().strip()):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    return status, stream.read(size)


def garbage(stage, seconds=1.5):
    generator = random.Random(4)
    words = [b"GET ", b"POST ", b"/things/", b"/shadow", b" HTTP/1.1\r\n", b"Host: h\r\n", b"Content-Length: ", b"5", b"\r\n",
             b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"{}", b"%", b"\0", b"\xff" * 40, b"A" * 9000]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with stage.raw_socket() as plain:
            try:
                for _ in range(generator.randrange(1, 12)):
                    plain.sendall(generator.choice(words) if generator.random() < 0.8 else generator.randbytes(60))
            except OSError:
                pass
    with stage.raw_socket() as plain:
        plain.sendall(b"\x16\x03\x01\x02\x00\x01")
        stream = plain.makefile("rb")
        status, body = read_answer(stream)
        check(status == 400 and b"expected a line METHOD TARGET HTTP/1.1" in body, f"TLS on the plain door: {body}")
        check(stream.read() == b"", "and then it is closed")
    keep_going(stage)


def keep_going(stage):
    ask(stage.connect(), "POST", "/things/well/shadow", '{"state":{}}')


class Slow:
    """Heads that never end, on many connections."""

    def __init__(self, stage, count=200):
        self.sockets = [stage.raw_socket() for _ in range(count)]
        for one in self.sockets:
            one.sendall(b"GET /things/pump/shadow HTTP/1.1\r\nHost: localhost\r\n")

    def others_are_served(self, stage):
        for one in self.sockets:
            one.sendall(b"X: y\r\n")
        keep_going(stage)

    def are_given_up(self):
        for one in self.sockets:
            stream = one.makefile("rb")
            status, body = read_answer(stream)
            check(status == 408 and b"did not come in time" in body, f"told: {status} {body}")
            check(stream.read() == b"", "and closed")
            one.close()


def stops(stage):
    connections = [stage.connect() for _ in range(5)]
    for connection in connections:
        ask(connection, "GET", LIST + "x")
    check(stage.gw.stop() == 0, "it ends in order with connections that stay")
    for connection in connections:
        check(connection.sock.recv(1) == b"", "and they are closed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    suite = gateway.Suite(args.build)
    with tempfile.TemporaryDirectory(prefix="gatehouse-rest-") as folder:
        certificates = gateway.Certificates(folder)
        path = os.path.join(folder, "http.sock")
        listen = gateway.OPEN, "http://127.0.0.1:0?access=open", f"unix://{path}?http=1", certificates.door(scheme="https")
        with gateway.Gateway(suite.build, listen=listen) as gw:
            stage = Stage(gw, certificates, path)
            slow = Slow(stage)
            for door in ("http", "unix"):
                suite.run(f"curl makes, reads, changes and deletes a shadow: {door}", by_curl, stage, door)
            suite.run("the worked examples come out as written", examples, stage)
            suite.run("who listens over MQTT hears of a request", seen_over_mqtt, stage)
            suite.run("named shadows are listed in pages", pages, stage)
            suite.run("a body is published", publishing, stage)
            suite.run("who has a certificate may do what he may over MQTT", certificates_of_both_sides, stage)
            suite.run("pages in a browser may not come in", pages_in_browsers, stage)
            suite.run("who has none of the authority's is not let in", strangers, stage, folder)
            suite.run("protocols are chosen as at AWS IoT", protocols, stage)
            suite.run("a new certificate is shown after SIGHUP", new_certificate, stage)
            suite.run("a hundred requests on one connection", keep_alive, stage)
            suite.run("requests that are sent ahead are answered in order", pipelining, stage)
            suite.run("the server counts, and says when its certificate expires", counts, stage)
            suite.run("Prometheus finds its figures", metrics, stage)
            suite.run("garbage is refused", garbage, stage)
            suite.run("slow heads keep nobody waiting", slow.others_are_served, stage)
            suite.run("slow heads are given up", slow.are_given_up)
            suite.run("what was answered is there after kill -9", kept_through_kills, stage, args.kills)
            suite.run("it stops in order", stops, stage)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
