#!/usr/bin/python3
"""Ways in by what CONNECT says: users with passwords, tokens, authorizers. What is right is let in and may do what its policies say; what is not is
refused with its reason code, in the log and in the audit log, and nobody's password is in either.

    tests/e2e/test_passwords.py BUILD
"""
import base64
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import gateway
import raw
from gateway import check, wait_for
from logins import PLACE, SECRET, Signer, Stage

LISTEN = ("mqtt://127.0.0.1:0?auth=password", "mqtts://127.0.0.1:0?auth=certificate,password",
          "mqtt://localhost:0?auth=password&access=full", "mqtt://127.0.0.1:0?auth=jwt,password",
          "mqtt://127.0.0.1:0?auth=jwt&access=node", "mqtt://127.0.0.1:0?auth=password,authorizer:shop",
          *(f"mqtt://127.0.0.1:0?auth=authorizer:{name}" for name in ("far", "many", "stranger", "plain")))
PASSWORD = "correct horse battery"
TILL = "what only the till knows"


def right_and_wrong(stage):
    stage.user("add", "alice", password=PASSWORD + "\n")
    stage.policy("alice", "user:alice", ("iot:Connect", "client/alice-*"), ("iot:Publish", "topic/dt/alice/*"),
                 ("iot:Subscribe", "topicfilter/dt/alice/*"), ("iot:Receive", "topic/dt/alice/*"))
    for version in 4, 5:
        with stage.client("alice", PASSWORD, f"alice-{version}", version=version) as alice:
            alice.subscribe("dt/alice/#")
            check(alice.publish("dt/alice/t", "1") == 0, "PUBLISH")
            check(alice.message().topic == "dt/alice/t", "its own message")
        with stage.client("alice", PASSWORD, "alice-5") as alice:
            check(alice.publish("dt/bob/t", "1") == 0x87, "what no policy allows")
        bad, denied = (0x86, 0x87) if version == 5 else (4, 5)
        check(stage.refusal("alice", "wrong", version) == bad, "a wrong password")
        check(stage.refusal("nobody", PASSWORD, version) == bad, "an unknown user")
        check(stage.refusal(None, None, version) == bad, "neither user nor password")
        check(stage.refusal("alice", PASSWORD, version, client_id="bob") == denied, "a client id of another")
    check(stage.refusal("", "x") == 0x86, "an empty user")
    check(stage.refusal("a" * 200, "x" * 5000) == 0x86, "too long")
    check(stage.refusal("alice\0", PASSWORD) != 0, "U+0000 behind the name")
    check("yes:" in stage.gw.cli("can", "user:alice", "publish", "dt/alice/x", "--client", "alice-1"), "can")
    stage.gw.cli("can", "user:alice", "publish", "dt/bob/x", "--client", "alice-1", status=1)
    stage.is_audited("refused/login", "user name or password is wrong")


def publishing_at_once(stage):
    """[MQTT-3.1.4-5]: packets may follow CONNECT before CONNACK."""
    stage.user("add", "hasty", password="h\n")
    opened = raw.open_socket(stage.ports[2])
    opened.sendall(raw.connect("hasty", 5, user="hasty", password="h") + raw.publish("hasty/t", b"1", 1, 7, 5))
    reader, packets = raw.Reader(5), []
    while len(packets) < 2:
        packets += reader.feed(opened.recv(4096))
    opened.close()
    check([p.kind for p in packets] == [raw.CONNACK, raw.PUBACK] and packets[1].packet_id == 7, f"{packets}")


def leaving_while_it_waits(stage):
    for _ in range(5):
        opened = raw.open_socket(stage.ports[2])
        opened.sendall(raw.connect("gone", 5, user="gone", password="x"))
        opened.close()
    with stage.client("hasty", "h", "still-here", door=2):
        pass


def commands(stage):
    stage.user("add", "bob", password="one")
    check("already" in stage.user("add", "bob", password="two", status=1), "twice")
    check(stage.refusal("bob", "one", door=2, client_id="b") == 0, "the first password")
    with stage.client("bob", "one", "bob-1", door=2) as bob:
        stage.user("passwd", "bob", password="two")
        check(bob.is_closed(), "a connection made with the old password")
    check(stage.refusal("bob", "two", door=2, client_id="b") == 0, "the second password")
    check(stage.refusal("bob", "one", door=2, client_id="b") == 0x86, "the first one is forgotten")
    check("no user" in stage.user("passwd", "bobby", password="x", status=1), "another's")
    check("found nothing" in stage.user("add", "carol", password="", status=1), "no password")
    check("expected a name" in stage.user("add", "a b", password="x", status=1), "a bad name")
    with stage.client("bob", "two", "bob-1", door=2) as bob:
        stage.user("disable", "bob")
        check(bob.is_closed(), "a connection of a user who is disabled")
    check(stage.refusal("bob", "two", door=2) == 0x87, "a disabled user")
    stage.user("enable", "bob")
    with stage.client("bob", "two", "bob-1", door=2) as bob:
        check(bob.publish("anything/at/all", "1") == 0, "access=full")
        stage.user("delete", "bob")
        check(bob.is_closed(), "a connection of a user who is deleted")
    check(stage.refusal("bob", "two", door=2) == 0x86, "a deleted user")
    check("alice" in stage.user("list"), "list")


def importing(stage):
    salt = b"twelve bytes"
    made = hashlib.pbkdf2_hmac("sha512", b"mosquito", salt, 101)
    line = "dave:$7$101$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(made).decode()
    path = os.path.join(stage.gw.folder, "passwd")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"# a comment\n{line}\nold:$6$AAAA$BBBB\nnonsense\n")
    said = stage.user("import", path, status=1)
    check("dave: added" in said and ":3: expected $7$" in said and ":4: expected NAME:HASH" in said, said)
    kind = {u["name"]: u["hash"] for u in stage.gw.ctl("user/list")["users"]}
    check(kind["dave"] == "PBKDF2-SHA512", "kept as it was")
    check(stage.refusal("dave", "mosquitoes", door=2) == 0x86, "a wrong one")
    with stage.client("dave", "mosquito", "d", door=2) as dave:
        kind = {u["name"]: u["hash"] for u in stage.gw.ctl("user/list")["users"]}
        check(kind["dave"] == "scrypt", "a stronger hash from now on")
        check(dave.publish("dt/dave", "1") == 0, "and it is no other password: the connection stays")
    check(stage.refusal("dave", "mosquito", door=2, client_id="d") == 0, "and it is the same password")


def with_certificates(stage):
    folder = os.path.join(stage.gw.folder, "devices")
    os.makedirs(folder, exist_ok=True)
    ca = os.path.join(folder, "ca.pem")
    with open(ca, "w", encoding="ascii") as file:
        file.write(stage.gw.ctl("ca/show")["pem"])
    stage.gw.cli("ca", "issue", "press-1", "--out", folder)
    own = ssl.create_default_context(cafile=ca)
    own.load_cert_chain(os.path.join(folder, "press-1.pem"), os.path.join(folder, "press-1.key"))
    with raw.Client(stage.ports[1], "press-1", version=5, tls=own) as press:
        check(press.publish("dt/press-1/t", "1") == 0, "with a certificate")
    with stage.client("alice", PASSWORD, "alice-1", door=1, tls=ssl.create_default_context(cafile=ca)) as alice:
        check(alice.publish("dt/alice/t", "1") == 0, "with a password")
    check(stage.refusal(None, None, door=1, tls=ssl.create_default_context(cafile=ca)) == 0x86, "with neither")


def tokens(stage, signer):
    stage.ctl("policy/create", name="by-token", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": [
            PLACE + "client/*", PLACE + "topic/dt/${iot:Connection.Thing.ThingName}/*",
            PLACE + "topic/hall/${iot:Connection.Thing.Attributes[hall]}"]}]})
    stage.ctl("thing/create", name="press-07", attributes={"hall": "7"})
    with stage.client("", signer.token(), "press-07", door=3) as press:
        check(press.publish("dt/press-07/t", "1") == 0 and press.publish("hall/7", "1") == 0, "its policies allow that")
        check(press.publish("dt/press-08/t", "1") == 0x87, "and nothing else")
        stage.ctl("policy/delete", name="by-token")
        check(press.publish("dt/press-07/t", "1") == 0x87, "a policy that is not there any more")
    with stage.client("x", signer.token("HS256"), "press-07", door=4) as press:
        check(press.publish("dt/press-07/t", "1") == 0 and press.publish("dt/press-08/t", "1") == 0x87, "its own topics")
    with raw.Client(stage.ports[4], "press-07", version=5, password=signer.token("HS256")):
        pass  # MQTT 5 needs no user name for a password
    with open(signer.public, "rb") as file:
        public = file.read()
    for why, token in (
            ("its token has expired", signer.token(exp=time.time() - 3600)),
            ("its token is not valid yet", signer.token(nbf=time.time() + 3600)),
            ("its token is for another audience", signer.token(aud="plants")),
            ("its token is by another issuer", signer.token(iss="https://idp.example.org")),
            ("its token does not say when it expires", signer.token(exp=None)),
            ("its token's signature is wrong", signer.token("HS256", public)),
            ("its token is signed with a key or an algorithm", signer.token("none"))):
        check(stage.refusal("x", token, door=4) == 0x87, why)
        check(stage.refusal("x", token, door=4, version=4) == 5, why)
        stage.is_audited("refused/login", why)
    check(stage.refusal("x", signer.token("HS256"), door=4, client_id="other") == 0x87, "a client id of another")
    check(stage.refusal("hasty", "h", door=4) == 0x86, "a password where none is taken")
    check(stage.refusal("alice", PASSWORD, door=3, client_id="alice-1") == 0, "a password where both are taken")


def authorizers(stage):
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": [PLACE + "client/till-*", PLACE + "topic/shop/*"]}]}
    yes = {"isAuthenticated": True, "principalId": "alice01", "policyDocuments": [document], "refreshAfterInSeconds": 60}
    questions = []

    def serve(asker):
        while True:
            try:
                found = asker.receive()
            except (raw.Closed, raw.Timeout, OSError):
                return
            if found.kind != raw.PUBLISH:
                continue
            question = json.loads(found.message().payload)
            mqtt = question["protocolData"]["mqtt"]
            questions.append(base64.b64decode(mqtt["password"]))
            text = {"yes": json.dumps(yes), "no": '{"isAuthenticated":false}', "garbage": "{"}.get(mqtt["username"])
            if text:
                asker.send(raw.publish("$gatehouse/authorizers/answers/" + question["connectionMetadata"]["id"],
                                       text.encode(), version=5))

    check(stage.refusal("yes", "p", door=5) == 0x87, "nobody serves it yet")
    asker = raw.Client(os.path.join(stage.gw.runtime, "control.sock"), version=5)
    asker.subscribe("$gatehouse/authorizers/questions/shop")
    threading.Thread(target=serve, args=(asker,), daemon=True).start()
    for version in 4, 5:
        with stage.client("yes", "p", "till-1", door=5, version=version) as till:
            check(till.publish("shop/1", "1") == 0, "what its policies allow")
            if version == 5:
                check(till.publish("plant/1", "1") == 0x87, "and nothing else")
    check(questions == [b"p"], f"the answer is remembered: {questions}")
    check(stage.refusal("yes", "p", door=5, client_id="other") == 0x87, "a client id that its policies do not allow")
    check(stage.refusal("no", "p", door=5) == 0x87 and stage.refusal("no", "p", door=5, version=4) == 5, "no")
    check(stage.refusal("garbage", "p", door=5) == 0x87, "garbage")
    check(stage.refusal("silent", "p", door=5) == 0x87, "no answer")
    check(stage.refusal("alice", PASSWORD, door=5, client_id="alice-1") == 0, "a user of the gateway's own is not asked about")
    asker.abort()
    for why in ("authorizer says no", "answer is none", "did not answer in time", "authorizer is not there"):
        stage.is_audited("refused/login", why)


class Far:
    """Authorizers behind HTTPS, where the gateway shows its certificate, and one behind HTTP on this machine."""

    def __init__(self, folder):
        self.certificates, self.others = gateway.Certificates(folder, "far"), gateway.Certificates(folder, "others")
        self.asked, self.left, self.now, self.peak = [], 0, 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.servers = [self.serve(tls) for tls in (True, False)]

    def serve(self, tls):
        far = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 64

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                shown = dict(pair[0] for pair in self.connection.getpeercert()["subject"])["commonName"] if tls else None
                with far.lock:
                    far.asked.append((self.path, self.headers["Content-Type"], shown, question))
                user = question["protocolData"]["mqtt"]["username"]
                if user == "hangs":
                    far.wait_until_gone(self.connection)
                    self.close_connection = True
                    return
                if self.path == "/many":
                    far.stay()
                status, body, headers = far.answer(user)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self):
                try:
                    super().handle()
                except OSError:  # whoever does not like our certificate, or leaves
                    self.close_connection = True

            def log_message(self, *_args):
                pass

        server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificates.issue("server"))
            context.load_verify_locations(self.certificates.ca)
            context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def answer(self, user):
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": [PLACE + "client/till-*", PLACE + "topic/shop/*"]}]}
        yes = json.dumps({"isAuthenticated": True, "principalId": "alice01", "policyDocuments": [document],
                          "refreshAfterInSeconds": 60 if user == "kept" else 0}).encode()
        return {"no": (200, b'{"isAuthenticated":false}', {}), "401": (401, yes, {}), "403": (403, b"", {}), "500": (500, yes, {}),
                "204": (204, b"", {}), "garbage": (200, b"{", {}), "long": (200, yes + b" " * 65536, {}),
                "elsewhere": (307, b"", {"Location": "/elsewhere"})}.get(user, (200, yes, {}))

    def wait_until_gone(self, connection):
        try:
            connection.recv(1)
        except OSError:
            pass
        self.left += 1

    def stay(self):
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        self.gate.wait(raw.LONG)
        with self.lock:
            self.now -= 1

    def config(self):
        uri, plain = (f"{scheme}://127.0.0.1:{server.server_address[1]}" for scheme, server in zip(("https", "http"), self.servers))
        cert, key = self.certificates.issue("gw")
        return "".join(f"[authorizer {name}]\nuri = {uri}/{name}\ncertificate = {cert}\nkey = {key}\nca = {ca}\ntimeout = {timeout}\n"
                       for name, ca, timeout in (("far", self.certificates.ca, "1s"), ("many", self.certificates.ca, "1m"),
                                                 ("stranger", self.others.ca, "30s"))) + \
            f"[authorizer plain]\nuri = {plain}/plain\n"

    def end(self):
        self.gate.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


def far_authorizers(stage, far):
    for version in 4, 5:
        with stage.client("yes", TILL, "till-1", door=6, version=version) as till:
            check(till.publish("shop/1", "1") == 0, "what its policies allow")
            if version == 5:
                check(till.publish("plant/1", "1") == 0x87, "and nothing else")
    path, kind, shown, question = far.asked[0]
    mqtt = question["protocolData"]["mqtt"]
    check((path, kind, shown) == ("/far", "application/json", "gw"), f"asked so: {far.asked[0]}")
    check(mqtt == {"username": "yes", "clientId": "till-1", "password": base64.b64encode(TILL.encode()).decode()}, f"{mqtt}")
    check(len(far.asked) == 2, "what is not to be remembered is asked again")
    for _ in range(2):
        check(stage.refusal("kept", TILL, door=6, client_id="till-1") == 0, "yes")
    check(len(far.asked) == 3, "and what is, is not")
    check(stage.refusal("yes", TILL, door=9, client_id="till-1") == 0, "without TLS, on this machine")
    for user in "no", "401", "403", "500", "204", "garbage", "long", "elsewhere", "hangs":
        check(stage.refusal(user, TILL, door=6, client_id="till-1") == 0x87, user)
    check(stage.refusal("500", TILL, door=6, version=4, client_id="till-1") == 5, "3.1.1")
    wait_for(lambda: far.left == 1, "one that hangs is given up")
    before = len(far.asked)
    check(stage.refusal("yes", TILL, door=8, client_id="till-1") == 0x87, "a server of another CA")
    check(len(far.asked) == before, "is not told anything")
    check(all(path != "/elsewhere" for path, *_ in far.asked), "a redirect is not followed")
    for text in "authorizer far answers with status 500", "authorizer stranger cannot be asked: .*certificate":
        wait_for(lambda text=text: stage.gw.logged(text), f"the log says {text}")
    for why in ("authorizer says no", "answer is none", "did not answer in time", "a status that is not 200", "answer is too long",
                "cannot be reached"):
        stage.is_audited("refused/login", why)


def many_at_a_time(stage, far):
    """Sixteen questions are under way, others wait, and the gateway goes on."""
    let_in = []
    threads = [threading.Thread(target=lambda i=i: let_in.append(stage.refusal(f"yes-{i}", TILL, door=7, client_id=f"till-{i}")))
               for i in range(20)]
    for thread in threads:
        thread.start()
    wait_for(lambda: far.now == 16, "sixteen are asked about")
    check(stage.refusal("yes", TILL, door=6, client_id="till-a") == 0, "another authorizer does not wait for them")
    check(stage.refusal("hasty", "h", door=2, client_id="till-b") == 0, "nor do passwords")
    check(not let_in, "and they wait")
    far.gate.set()
    for thread in threads:
        thread.join(raw.LONG)
    check(let_in == [0] * 20 and far.peak == 16, f"all come in, sixteen at most were asked about at once: {let_in} {far.peak}")


def ending(stage, signer):
    with stage.client("x", signer.token("HS256", exp=time.time() + 1), "press-07", door=4) as press:
        check(press.receive().reason == 0xA0 and press.is_closed(), "DISCONNECT when its token ends")


def surviving(stage):
    stage.user("add", "eve", password="correct eve")
    stage.gw.restart()
    stage = Stage(stage.gw)
    check(stage.refusal("eve", "correct eve", door=2) == 0, "a user who was added before kill -9")
    check(stage.refusal("eve", "wrong", door=2) == 0x86, "and a wrong password")


def too_many(stage):
    """The last one: this address has to wait from then on."""
    stage = Stage(stage.gw)
    codes = [stage.refusal("eve", f"guess {i}", door=2) for i in range(15)]
    check(codes[:9] == [0x86] * 9 and codes[-1] == 0x9F, f"{codes}")
    check(stage.refusal("eve", "guess", version=4, door=2) == 3, "3.1.1")
    check(stage.refusal("eve", "correct eve", door=2) == 0, "who has proved it before is let in all the same")
    stage.is_audited("refused/login", "too many attempts")


def stopping(stage, far):
    before = far.left
    opened = raw.open_socket(Stage(stage.gw).ports[7])
    opened.sendall(raw.connect("till-0", 5, user="hangs", password=TILL))
    wait_for(lambda: far.asked[-1][3]["protocolData"]["mqtt"]["clientId"] == "till-0", "it is asked about")
    stage.gw.stop()
    opened.close()
    wait_for(lambda: far.left == before + 1, "the question is given up")


def no_secrets(stage):
    secrets = [PASSWORD, SECRET.decode(), TILL, base64.b64encode(TILL.encode()).decode(), "eyJ", "mosquito", "correct eve", "guess 1", "battery"]
    rows = json.dumps(stage.gw.ctl("audit/list", json.dumps({"max": 1000}).encode()))
    for text in secrets:
        check(not stage.gw.logged(text), f"\"{text}\" is in the log")
        check(text not in rows, f"\"{text}\" is in the audit log")
    with open(os.path.join(stage.gw.state, "state.db"), "rb") as file:
        content = file.read()
    check(PASSWORD.encode() not in content, "a password is in state.db")


def checked(build):
    uri = "mqtt://0.0.0.0:1883?auth=password"
    gw = gateway.Gateway(build, config=f"[listener x]\nuri = {uri}\n", listen=())
    done = subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)
    gw.end()
    check(done.returncode == 78 and "passwords could be read on their way" in done.stderr, done.stderr)
    gw = gateway.Gateway(build, config="[authorizer x]\nuri = http://shop.example/ask\n[authorizer y]\nuri = https://shop.example/ask\n"
                                       "certificate = /nowhere.pem\nkey = /nowhere.key\n", listen=())
    done = subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)
    check(done.returncode == 78 and "[authorizer x] uri: expected https://" in done.stderr, done.stderr)
    gw.end()


def main():
    suite = gateway.Suite(sys.argv[1])
    suite.run("--check tells what auth= cannot be", checked, suite.build)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, \
            gateway.Gateway(suite.build, config=(signer := Signer(folder)).config() + (far := Far(folder)).config(),
                            listen=LISTEN) as gw:
        stage = Stage(gw)
        suite.run("a user with the right password is let in and may do what its policies say", right_and_wrong, stage)
        suite.run("packets may follow CONNECT at once", publishing_at_once, stage)
        suite.run("who leaves while its password is looked at is forgotten", leaving_while_it_waits, stage)
        suite.run("users are added, changed, disabled and deleted", commands, stage)
        suite.run("a Mosquitto password file is imported", importing, stage)
        suite.run("a listener takes certificates and passwords", with_certificates, stage)
        suite.run("who has a token is let in for as long as it is good, and no others", tokens, stage, signer)
        suite.run("an authorizer says who is let in, and what he may do", authorizers, stage)
        suite.run("an authorizer far away says the same by HTTPS, or fails, and lets nobody in", far_authorizers, stage, far)
        suite.run("a slow authorizer is asked sixteen questions at a time", many_at_a_time, stage, far)
        suite.run("a connection ends with its token", ending, stage, signer)
        suite.run("users survive kill -9", surviving, stage)
        suite.run("who fails too often has to wait", too_many, stage)
        suite.run("no password is in the log, the audit log or state.db", no_secrets, stage)
        suite.run("the gateway stops while an authorizer is asked", stopping, stage, far)
        far.end()
    return suite.end()


gateway.run(main)
