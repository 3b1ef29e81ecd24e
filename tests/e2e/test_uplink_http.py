#!/usr/bin/python3
"""Records that leave by HTTP: to a server that is away, busy, broken, slow, or finds fault with some of them.

    tests/e2e/test_uplink_http.py BUILD

The server is here, does as the test says, and counts. Whatever it does, every record arrives, in order per stream, and what
it refuses for good is refused alone.
"""
import collections
import email.utils
import json
import os
import sys
import time

import gateway
import raw
from gateway import check, wait_for
from web import Server, each, half, hang, refuse_bad, refuse_large, reset, status, take, take_and_vanish


# ---- the gateway ----------------------------------------------------------------------------------------------------


def config(port, more="", path="/in", scheme="http"):
    return (f"[uplink web]\nuri = {scheme}://127.0.0.1:{port}{path}\nstall-timeout = 2s\n{more}"
            "[stream s]\nuplink = web\n[route r]\nfilter = r/#\nstream = s\n")


def uplink(gw, name="web"):
    return next(u for u in gw.ctl("uplink/list")["uplinks"] if u["name"] == name)


def publish_all(client, messages):
    """Without waiting in between; the reason code of each."""
    for number, (topic, payload) in enumerate(messages, 1):
        client.send(raw.publish(topic, payload.encode(), 1, number, client.version))
    codes = [None] * len(messages)
    for _ in messages:
        answer = client.expect(raw.PUBACK)
        codes[answer.packet_id - 1] = answer.reason
    return codes


class Stage:
    """A gateway with one stream to the server, and what was published."""

    def __init__(self, suite, more="", **options):
        self.server = Server(tls=options.pop("tls", None))
        self.gw = gateway.Gateway(suite.build, config(self.server.port, more, **options))
        self.count = 0

    def __enter__(self):
        self.gw.start()
        return self

    def __exit__(self, kind, error, trace):
        self.server.end()
        self.gw.__exit__(kind, error, trace)

    def publish(self, count, word="n"):
        with self.gw.client(f"p{self.count}") as client:
            for _ in range(count):
                client.publish(f"r/{self.count % 3}", f"{word}{self.count}")
                self.count += 1

    def cure(self):
        """Ends the pause: what is tested is not how long it is."""
        if uplink(self.gw)["state"] != "up":
            self.gw.ctl("uplink/restore", b'{"name":"web"}')

    def arrive(self, count=None, twice=False):
        """All arrive, in order; only what the server took without saying so may come twice."""
        count = self.count if count is None else count

        def have_come():
            self.cure()
            with self.server.lock:
                return len({r["payload"] for r in self.server.taken}) >= count
        wait_for(have_come, f"{count} records arrive; {len(self.server.taken)} have", pause=0.1)
        with self.server.lock:
            numbers = [int(r["payload"].lstrip("nbad")) for r in self.server.taken]
        if twice:
            numbers = list(dict.fromkeys(numbers))
        check(numbers == sorted(set(numbers)), f"once and in order: {numbers}")
        return numbers

    def settled(self):
        wait_for(lambda: self.gw.stream("s")["pending"] == 0, "nothing is pending")


def usual(suite):
    with Stage(suite, "headers = X-Plant: 7 | X-Line: a|b\n") as stage:
        stage.publish(200)
        stage.arrive()
        stage.settled()
        path, headers, records = stage.server.posts[0]
        check(path == "/in" and headers["X-Plant"] == "7" and headers["X-Line"] == "a|b", f"{path} {headers}")
        check(headers["Gatehouse-Gateway"] == "test" and not headers["Expect"], str(headers))
        check(records[0]["topic"] == "r/0", str(records[0]))
        check(len(stage.server.posts) < 200, "several records are one request")
        check(stage.server.most_running == 1, "one request at a time")
        check(stage.server.connections == 1, f"one connection: {stage.server.connections}")
        said = uplink(stage.gw)
        check(said["kind"] == "http" and said["state"] == "up" and said["sent"] == 200 and said["bytes"] > 200
              and said["inFlight"] == 0 and said["lastSuccess"], str(said))


def formats(suite):
    with Stage(suite, "format = ndjson\nbatch-size = 7\ncompress = yes\n") as stage:
        stage.publish(50)
        stage.arrive()
        check(all(len(records) <= 7 for _, _, records in stage.server.posts), "a batch has at most seven")
        check(all(headers["Content-Encoding"] == "gzip" for _, headers, _ in stage.server.posts), "bodies are packed")
    with Stage(suite, "format = raw\nmethod = PUT\n", path="/${stream}/${topic}?gw=${gateway}") as stage:
        stage.publish(9)
        stage.arrive()
        check({path for path, _, _ in stage.server.posts} == {f"/s/r/{i}?gw=test" for i in range(3)},
              str([path for path, _, _ in stage.server.posts]))
        check([int(headers["Gatehouse-Seq"]) for _, headers, _ in stage.server.posts] == list(range(9)), "numbers")
        check(stage.server.posts[4][1]["Idempotency-Key"] == '"test/s/4"', str(stage.server.posts[4][1]))
    with Stage(suite, "format = raw\n", path="/in/${topic}") as stage:
        with stage.gw.client("d") as client:
            client.publish("r/../../x y/.", "n0")
        stage.arrive(1)
        check(stage.server.posts[0][0] == "/in/r/%252E%252E/%252E%252E/x%20y/%252E", stage.server.posts[0][0])


def broken(suite, plan, twice=False):
    with Stage(suite) as stage:
        stage.publish(3)
        stage.arrive()
        stage.server.plan.extend(plan)
        stage.publish(60)
        stage.arrive(twice=twice)
        stage.settled()
        check(uplink(stage.gw)["state"] == "up", "it is up again")


def says_why(suite):
    with Stage(suite) as stage:
        stage.server.usual = status(401, "who are you?")
        stage.publish(5)
        said = wait_for(lambda: (lambda u: u["state"] == "down" and u)(uplink(stage.gw)), "it is down")
        check(said["reason"] == "the server answers 401: who are you?", str(said))
        check(stage.gw.stream("s")["pending"] == 5, "all are kept")
        posts = len(stage.server.posts)
        stage.publish(20)
        time.sleep(0.3)  # nothing may come of it in this time, nor later
        check(len(stage.server.posts) == posts, "nothing is sent while it is down")
        stage.server.usual = take
        stage.arrive()


def retry_after(suite):
    with Stage(suite) as stage:
        stage.server.plan.append(status(503, Retry_After="2"))
        stage.publish(1)
        begin = time.monotonic()
        wait_for(lambda: stage.server.taken, "it comes by itself")
        check(time.monotonic() - begin > 1.5, "and not before two seconds were over")
        stage.server.plan.append(status(429, Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True)))
        stage.publish(1)
        begin = time.monotonic()
        wait_for(lambda: len(stage.server.taken) == 2, "it comes by itself")
        check(time.monotonic() - begin > 1.5, "and not before the date")


def too_large(suite):
    with Stage(suite) as stage:
        stage.server.usual = refuse_large
        stage.publish(100)
        stage.arrive()
        refused = sum(len(records) > 5 for _, _, records in stage.server.posts)
        check(refused < 8, f"its size is remembered: {refused} were too large")


def dead_letters(suite):
    """In a stream those that are refused for good become dead letters, and all others arrive."""
    with Stage(suite) as stage:
        stage.server.usual = refuse_bad
        for i in range(60):
            stage.publish(1, "bad" if i in (0, 17, 18, 59) else "n")
        wait_for(lambda: stage.gw.stream("s")["pending"] == 0, "all are settled")
        numbers = [int(r["payload"].lstrip("n")) for r in stage.server.taken]
        check(numbers == [i for i in range(60) if i not in (0, 17, 18, 59)], f"the others arrive, in order: {numbers}")
        lines = stage.gw.cli("--json", "stream", "read", "dead-letters").splitlines()
        letters = [json.loads(json.loads(line)["payload"]) for line in lines]
        check([letter["payload"] for letter in letters] == ["bad0", "bad17", "bad18", "bad59"], str(letters))
        check(all(letter["uplink"] == "web" and letter["stream"] == "s" and letter["code"] == 0x99
                  for letter in letters), str(letters))
        check(uplink(stage.gw)["refused"] == 4 and "422" in uplink(stage.gw)["lastRefusal"], str(uplink(stage.gw)))


def bad_ones(suite):
    """One that is refused for good, published to the uplink itself: who published it is told, and only he."""
    with Stage(suite, "batch-interval = 300ms\n") as stage:
        stage.server.usual = refuse_bad
        with stage.gw.client("direct", version=5) as client:
            codes = publish_all(client, [(f"$gatehouse/cloud/web/publish/d/{i}", f"{'bad' if i == 13 else 'n'}{i}")
                                        for i in range(30)])
        check([i for i, code in enumerate(codes) if code] == [13] and codes[13] == 0x99, str(codes))
        numbers = sorted(int(r["payload"].lstrip("n")) for r in stage.server.taken)
        check(numbers == [i for i in range(30) if i != 13], str(numbers))


def partial(suite):
    with Stage(suite, "batch-size = 20\n") as stage:
        seen = collections.Counter()

        def verdict(record):
            seen[record["payload"]] += 1
            return 429 if seen[record["payload"]] == 1 and int(record["payload"].lstrip("n")) % 4 == 3 else 200
        stage.server.usual = each(verdict)
        stage.publish(40)
        wait_for(lambda: len(stage.server.taken) >= 40, "all are taken")
        check(len(stage.server.taken) == 40, "and none of them twice")
        check(max(seen.values()) == 2, "only what was left is sent again")
        check(not stage.gw.logged("uplink web: the server answers 429"), "a partial success is no failure")


def many_connections(suite):
    with Stage(suite, "ordered = no\nconnections = 4\nformat = raw\n") as stage:
        def slow(handler, records):
            time.sleep(0.02)
            take(handler, records)
        stage.server.usual = slow
        stage.publish(120)
        wait_for(lambda: len(stage.server.taken) >= 120, "all arrive")
        check(2 <= stage.server.most_running <= 4, f"{stage.server.most_running} at once")


def away(suite):
    """No server at all; it comes; it is killed and comes again."""
    port = gateway.free_port()
    with gateway.Gateway(suite.build, config(port)) as gw:
        with gw.client("p") as client:
            for i in range(20):
                client.publish("r/x", f"n{i}")
        wait_for(lambda: uplink(gw)["state"] == "down", "it is down")
        check("onnect" in uplink(gw)["reason"] or "refused" in uplink(gw)["reason"], str(uplink(gw)))
        server = Server(port)
        wait_for(lambda: len(server.taken) == 20, "what waited arrives by itself")
        wait_for(lambda: uplink(gw)["state"] == "up", "it is up")
        server.end()
        gw.stop()
        gw.start()
        server = Server(port)
        with gw.client("p") as client:
            client.publish("r/x", "n20")
        wait_for(lambda: server.taken, "and after a restart")
        check([r["payload"] for r in server.taken] == ["n20"], str(server.taken))
        server.end()


def cut_and_restore(suite):
    with Stage(suite) as stage:
        stage.server.plan.append(hang)
        stage.publish(4)
        wait_for(lambda: stage.server.running, "a request is under way")
        said = stage.gw.ask("uplink", "cut", "web")
        check(said["state"] == "down" and said["reason"] == "cut on request", str(said))
        wait_for(lambda: uplink(stage.gw)["inFlight"] == 0, "what was under way has been given back")
        stage.publish(4)
        check(not stage.server.taken, "nothing leaves")
        stage.server.release.set()
        stage.gw.ask("uplink", "restore", "web")
        stage.arrive()


def kill_in_between(suite):
    with Stage(suite) as stage:
        for _ in range(3):
            stage.server.plan.extend([take, take_and_vanish, hang])
            stage.publish(100)
            stage.gw.restart()
        stage.server.release.set()
        stage.arrive(twice=True)
        keys = {}
        for _, headers, records in stage.server.posts:
            key = headers["Idempotency-Key"]
            if key:
                payloads = [r["payload"] for r in records]
                check(keys.setdefault(key, payloads) == payloads, "a key is that of the same records")


def secure(suite):
    folder = gateway.tempfile.mkdtemp(prefix="gatehouse-e2e-")
    try:
        certificates = gateway.Certificates(folder)
        context = gateway.ssl.SSLContext(gateway.ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.issue("server"))
        context.load_verify_locations(certificates.ca)
        context.verify_mode = gateway.ssl.CERT_REQUIRED
        cert, key = certificates.issue("gateway")
        secret = os.path.join(folder, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("Bearer abc.def\n")
        with Stage(suite, f"ca = {certificates.ca}\ncert = {cert}\nkey = {key}\nauthorization-file = {secret}\n",
                   scheme="https", tls=context) as stage:
            stage.publish(10)
            stage.arrive()
            check(stage.server.posts[0][1]["Authorization"] == "Bearer abc.def", "the secret is the header's value")
            check(not any("abc.def" in line for line in stage.gw.log), "and is not in the log")
        with Stage(suite, f"cert = {cert}\nkey = {key}\n", scheme="https", tls=context) as stage:
            stage.publish(1)
            wait_for(lambda: uplink(stage.gw)["state"] == "down", "a server nobody vouches for is not believed")
            check("certificate" in uplink(stage.gw)["reason"], str(uplink(stage.gw)))
            check(not stage.server.posts, "and gets nothing")
    finally:
        gateway.shutil.rmtree(folder, ignore_errors=True)


def main():
    suite = gateway.Suite(sys.argv[1])
    tests = [
        ("records arrive in batches, in order, over one connection", usual),
        ("in every format", formats),
        ("connections that are reset", broken, [reset, reset]),
        ("answers 500 and 502", broken, [status(500), status(502, "<html>no</html>")]),
        ("answers that hang", broken, [hang]),
        ("answers that end in the middle", broken, [half, half]),
        ("answers that never come although the records were taken", broken, [take_and_vanish], True),
        ("a refusal that somebody has to repair is kept and told", says_why),
        ("Retry-After is obeyed", retry_after),
        ("what is too large is halved", too_large),
        ("one that is refused for good is refused alone", bad_ones),
        ("records that are refused for good become dead letters", dead_letters),
        ("of a partial success only the rest is sent again", partial),
        ("several connections without order", many_connections),
        ("a server that is away", away),
        ("cut and restore", cut_and_restore),
        ("the gateway is killed while it sends", kill_in_between),
        ("TLS with certificates both ways, and a secret", secure),
    ]
    suite.run_all([(sentence, function, suite, *more) for sentence, function, *more in tests], 4)
    return suite.end()


gateway.run(main)
