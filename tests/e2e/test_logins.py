#!/usr/bin/python3
"""Ways in by a password or a token, beyond CONNECT: the same by HTTP, for stock clients, tokens for authorizers, connections that are
asked about again, and keys that change while the gateway runs.

    tests/e2e/test_logins.py BUILD
"""
import base64
import http.client
import http.server
import json
import os
import pty
import signal
import ssl
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.parse

import gateway
import raw
from gateway import Skip, check, find_tool, wait_for
from logins import PLACE, SECRET, Signer, Stage

PASSWORD = "correct horse battery"
KEPT = b"\x11" + (3600).to_bytes(4, "big")  # Session Expiry Interval
LISTEN = ("mqtt://127.0.0.1:0?auth=password", "mqtts://127.0.0.1:0?auth=password", "http://127.0.0.1:0?auth=password,jwt",
          "https://127.0.0.1:0?auth=certificate,password", "mqtt://127.0.0.1:0?auth=jwt&access=node",
          "mqtt://127.0.0.1:0?auth=authorizer:shop", "mqtt://127.0.0.1:0?auth=authorizer:signed", "mqtt://127.0.0.1:0?access=open",
          "mqtt://127.0.0.1:0?auth=password&access=node", "mqtt://127.0.0.1:0?auth=password&access=full",
          "mqtt://127.0.0.1:0?auth=authorizer:far")
MQTT, MQTTS, HTTP, HTTPS, JWT, SHOP, SIGNED, OPEN, NODE, FULL, FAR = range(11)


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Door:
    """One connection to a door of HTTP."""

    def __init__(self, stage, door, tls=None):
        port = stage.ports[door]
        self.link = http.client.HTTPSConnection("localhost", port, timeout=raw.LONG, context=tls) if tls else \
            http.client.HTTPConnection("127.0.0.1", port, timeout=raw.LONG)

    def __call__(self, topic, headers, body=b"1"):
        self.link.request("POST", "/topics/" + topic, body, headers)
        self.answer = self.link.getresponse()
        self.answer.read()
        return self.answer.status


def trust(stage):
    path = os.path.join(stage.gw.folder, "own-ca.pem")
    with open(path, "w", encoding="ascii") as file:
        file.write(stage.gw.ctl("ca/show")["pem"])
    return path


def by_http(stage, signer):
    stage.user("add", "alice", password=PASSWORD)
    stage.policy("alice", "user:alice", ("iot:Connect", "client/*"), ("iot:Publish", "topic/dt/alice/*"), ("iot:Subscribe", "topicfilter/dt/alice/*"),
                 ("iot:Receive", "topic/dt/alice/*"))
    stage.policy("by-token", "user:alice", ("iot:Publish", "topic/dt/${iot:Connection.Thing.ThingName}/*"))
    stage.ctl("thing/create", name="press-07")
    door = Door(stage, HTTP)
    for _ in range(2):
        check(door("dt/alice/t", basic("alice", PASSWORD)) == 200, "a user")
        check(door("dt/bob/t", basic("alice", PASSWORD)) == 403, "and what no policy allows")
        check(door("dt/alice/t", basic("alice", "wrong")) == 401, "a wrong password")
    check(door.answer.getheader("WWW-Authenticate").startswith("Basic realm="), "how to say who one is")
    bearer = {"Authorization": "Bearer " + signer.token().decode()}
    check(door("dt/press-07/t", bearer) == 200 and door("dt/press-08/t", bearer) == 403, "a token")
    check(door("dt/press-07/t", {"Authorization": "Bearer " + signer.token(exp=time.time() - 3600).decode()}) == 401, "an old one")
    check(door("dt/alice/t", {}) == 401, "nobody")
    stage.is_audited("refused/login", "its token has expired")
    stage.is_audited("refused/login", "user name or password is wrong")
    with stage.client("alice", PASSWORD, "a") as alice:
        alice.subscribe("dt/alice/#")
        check(Door(stage, HTTP)("dt/alice/t", basic("alice", PASSWORD), b"from HTTP") == 200, "it is published")
        check(alice.message().payload == b"from HTTP", "and arrives")
    tls = ssl.create_default_context(cafile=trust(stage))
    tls.check_hostname = False
    check(Door(stage, HTTPS, tls)("dt/alice/t", basic("alice", PASSWORD)) == 200, "by HTTPS")
    check(Door(stage, HTTPS, tls)("dt/alice/t", {}) == 401, "nobody by HTTPS")
    stage.gw.cli("ca", "issue", "press-1", "--out", stage.gw.folder)
    tls.load_cert_chain(*(os.path.join(stage.gw.folder, "press-1" + end) for end in (".pem", ".key")))
    check(Door(stage, HTTPS, tls)("dt/press-1/t", {}) == 403, "a certificate, where both are taken, whose policy is for its thing's client id")
    stage.user("disable", "alice")
    check(door("dt/alice/t", basic("alice", PASSWORD)) == 401, "a user who is disabled")
    stage.user("enable", "alice")


def too_often(stage):
    stage.user("add", "bob", password="b")
    door = Door(stage, HTTP)
    found = [door("t", basic("bob", f"guess {i}")) for i in range(14)]
    check(found[:9] == [401] * 9 and found[-1] == 429, f"{found}")
    check(stage.refusal("bob", "guess") == 0x9F, "and it is the same attempts over MQTT")


def mosquitto(stage, version, tls):
    sub, pub = find_tool("mosquitto_sub"), find_tool("mosquitto_pub")
    where = ["-h", "localhost" if tls else "127.0.0.1", "-p", str(stage.ports[MQTTS if tls else MQTT]), "-V", version, "-u", "alice"]
    if tls:
        where += ["--cafile", trust(stage), "--insecure"]
    with subprocess.Popen(["stdbuf", "-oL", sub, *where, "-P", PASSWORD, "-t", "dt/alice/#", "-q", "1", "-C", "1", "-v", "-d"], stdout=subprocess.PIPE, text=True) as there:
        for line in there.stdout:
            if "Subscribed" in line:
                break
        done = subprocess.run([pub, *where, "-P", PASSWORD, "-t", "dt/alice/m", "-q", "1", "-m", version], capture_output=True, text=True,
                              timeout=raw.LONG, check=False)
        check(done.returncode == 0, f"mosquitto_pub: {done.stderr}")
        rest = there.stdout.read()
        check(f"dt/alice/m {version}" in rest and there.wait(raw.LONG) == 0, f"mosquitto_sub heard {rest}")
    done = subprocess.run([pub, *where, "-P", "wrong", "-t", "dt/alice/m", "-m", "x"], capture_output=True, text=True, timeout=raw.LONG, check=False)
    check(done.returncode != 0, "mosquitto_pub with a wrong password")


def paho(stage, tls):
    try:
        from paho.mqtt import client as mqtt
    except ImportError as error:
        raise Skip("Paho for Python is not installed") from error
    heard, refused = [], []

    def made(name, password):
        arguments = (mqtt.CallbackAPIVersion.VERSION1,) if hasattr(mqtt, "CallbackAPIVersion") else ()
        client = mqtt.Client(*arguments, client_id=name)
        client.username_pw_set("alice", password)
        if tls:
            client.tls_set(ca_certs=trust(stage))
            client.tls_insecure_set(True)
        return client

    client, subscribed = made("paho-1", PASSWORD), threading.Event()
    client.on_connect = lambda *_: client.subscribe("dt/alice/#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    port = stage.ports[MQTTS if tls else MQTT]
    client.connect("localhost" if tls else "127.0.0.1", port)
    client.loop_start()
    check(subscribed.wait(raw.LONG), "it is let in and subscribes")
    client.publish("dt/alice/p", b"paho", 1)
    wait_for(lambda: heard == [b"paho"], "it hears itself")
    client.disconnect()
    client.loop_stop()
    other = made("paho-2", "wrong")
    other.on_connect = lambda _client, _data, _flags, code, *_: refused.append(int(code))
    other.connect("localhost" if tls else "127.0.0.1", port)
    other.loop_start()
    wait_for(lambda: refused, "it is answered")
    other.disconnect()
    other.loop_stop()
    check(refused[0] in (4, 134), f"a wrong password: {refused}")


class Authorizer:
    """Answers on the bus, for as long as it is wanted; what it says is in `answers`, by user."""

    def __init__(self, stage, name):
        self.asked, self.answers = [], {}
        self.client = raw.Client(os.path.join(stage.gw.runtime, "control.sock"), version=5)
        self.client.subscribe("$gatehouse/authorizers/questions/" + name)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                found = self.client.receive()
            except (raw.Closed, raw.Timeout, OSError):
                return
            if found.kind != raw.PUBLISH:
                continue
            question = json.loads(found.message().payload)
            self.asked.append(question)
            text = self.answers[question["protocolData"]["mqtt"]["username"].split("?")[0]]
            self.client.send(raw.publish("$gatehouse/authorizers/answers/" + question["connectionMetadata"]["id"],
                                         json.dumps(text).encode(), version=5))

    def says(self, user, topic, principal="till", **more):
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": [PLACE + "client/*", PLACE + "topic/" + topic]}]}
        self.answers[user] = {"isAuthenticated": True, "principalId": principal, "policyDocuments": [document], **more}


def asked_again(stage):
    shop = Authorizer(stage, "shop")
    shop.says("till", "shop/1", refreshAfterInSeconds=1, disconnectAfterInSeconds=3600)
    with stage.client("till", "p", "till-1", door=SHOP) as till:
        check(till.publish("shop/1", "1") == 0 and till.publish("shop/2", "1") == 0x87, "its first policies")
        shop.says("till", "shop/2", refreshAfterInSeconds=1)
        wait_for(lambda: till.publish("shop/2", "1") == 0, "its second ones, while it is connected")
        check(till.publish("shop/1", "1") == 0x87, "and not the first ones")
        shop.answers["till"] = {"isAuthenticated": False}
        end = till.receive()
        check(end.reason == 0x87 and till.is_closed(), "DISCONNECT when its authorizer says no")
    stage.is_audited("refused/refresh", "its authorizer says no")
    shop.says("short", "shop/1", disconnectAfterInSeconds=1)
    with stage.client("short", "p", "till-2", door=SHOP) as till:
        check(till.receive().reason == 0xA0, "DISCONNECT when its time is over")
    shop.client.abort()


def signed(stage, signer):
    authorizer = Authorizer(stage, "signed")
    authorizer.says("alice", "shop/1")

    def user(token, signature=None, **more):
        made = signature or base64.b64encode(signer.run("dgst", "-sha256", "-sign", signer.key, data=token.encode())).decode()
        return "alice?" + urllib.parse.urlencode({"x-amz-customauthorizer-name": "signed", "tok": token,
                                                  "x-amz-customauthorizer-signature": made, **more})
    check(stage.refusal(user("t/1+2="), "p", door=SIGNED) == 0, "a token with a good signature")
    check(authorizer.asked[0]["token"] == "t/1+2=" and authorizer.asked[0]["signatureVerified"] is True, f"{authorizer.asked}")
    for bad in "alice", "alice?tok=t", user("t", "AAAA"), user("t").replace("tok=t", "tok=u"), user("t", **{"x-amz-customauthorizer-name": "shop"}):
        check(stage.refusal(bad, "p", door=SIGNED) == 0x87, bad)
    check(len(authorizer.asked) == 1, "and nobody else is asked about")
    stage.is_audited("refused/login", "its token's signature is wrong")
    authorizer.client.abort()


def reload(gw, text):
    before = len(gw.log)
    gw.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(text in line for line in gw.log[before:]), f"the log says {text}")


def keys_change(stage, signer, folder):
    """A file that is none changes nothing; a good one holds from then on."""
    with open(signer.secret, "rb") as file:
        before = file.read()
    good, other = signer.token("HS256"), signer.token("HS256", b"another secret of more than thirty-two bytes")
    check(stage.refusal("x", good, door=JWT, client_id="press-07") == 0, "the first key")
    with stage.client("x", good, "press-07", door=JWT) as press:
        with open(signer.secret, "wb") as file:
            file.write(b"short")
        reload(stage.gw, "expected a secret of 32 bytes or more; the keys stay as they were")
        check(stage.refusal("x", good, door=JWT, client_id="press-08") == 0x87, "a client id of another")
        with open(signer.secret, "wb") as file:
            file.write(b"another secret of more than thirty-two bytes")
        reload(stage.gw, "have been read again")
        check(press.publish("dt/press-07/t", "1") == 0, "who is there stays")
    check(stage.refusal("x", other, door=JWT, client_id="press-07") == 0, "the second key")
    check(stage.refusal("x", good, door=JWT, client_id="press-07") == 0x87, "the first key is none any more")
    with open(signer.secret, "wb") as file:
        file.write(before)
    # And those of an authorizer's tokens.
    fresh = Signer(os.path.join(folder, "fresh"))
    authorizer = Authorizer(stage, "signed")
    authorizer.says("alice", "shop/1")
    name = signed_user(fresh)
    check(stage.refusal(name, "p", door=SIGNED) == 0x87, "a key that is not there yet")
    os.replace(fresh.public, os.path.join(folder, "signed.pem"))
    reload(stage.gw, "have been read again")
    check(stage.refusal(name, "p", door=SIGNED) == 0, "and is there now")
    authorizer.client.abort()


def signed_user(signer, token="t"):
    made = base64.b64encode(signer.run("dgst", "-sha256", "-sign", signer.key, data=token.encode())).decode()
    return "alice?" + urllib.parse.urlencode({"tok": token, "x-amz-customauthorizer-signature": made})


def owners(stage):
    """Whoever else comes with the client id of a session neither gets it, nor ends it, nor disconnects who has it."""
    for name in "carol", "dora":
        stage.user("add", name, password=name)

    def come(user, door, version=5, clean=False):
        return raw.Client(stage.ports[door], "valve", version=version, user=user, password=user, clean=clean, props=KEPT if version == 5 else b"")

    def is_refused(user, door, version=5, clean=False):
        try:
            come(user, door, version, clean).abort()
        except AssertionError as refusal:
            check(str(refusal).endswith("0x87" if version == 5 else "0x05"), f"{user}: {refusal}")
            return
        raise AssertionError(f"{user} is let in")

    def strangers():
        for clean in False, True:
            for version in 4, 5:
                is_refused(None, OPEN, version, clean)
                is_refused("dora", NODE, version, clean)

    with come("carol", NODE) as carol:
        carol.subscribe("cmd/carol/#", qos=1)
        strangers()
        check(carol.publish("dt/carol/t", "1", qos=1) == 0, "she is still there")
    strangers()
    with raw.Client(stage.ports[FULL], "other", version=5, user="dora", password="dora") as dora:
        check(dora.publish("cmd/carol/1", "kept", qos=1) == 0, "a message for her")
    stage.gw.restart()
    stage = Stage(stage.gw)
    strangers()
    with come("carol", NODE) as carol:
        check(carol.connack.session_present and carol.message().payload == b"kept", "after a restart it is still hers")
    with come("dora", FULL) as dora:
        check(dora.connack.session_present, "who may do everything goes on with it")
    is_refused("carol", NODE)
    with come("dora", FULL, clean=True):
        pass
    with raw.Client(stage.ports[OPEN], "loose", version=5, clean=False, props=KEPT) as nobody:
        nobody.subscribe("a/b")
    with raw.Client(stage.ports[NODE], "loose", version=5, user="carol", password="carol", clean=False, props=KEPT) as carol:
        check(carol.connack.session_present, "a session of nobody")
    stage.is_audited("refused/connect", "a session of somebody else")


def terminal(stage):
    """Who is stopped while he is asked for a password leaves a terminal that shows what is typed."""
    master, slave = pty.openpty()
    shows = lambda: bool(termios.tcgetattr(slave)[3] & termios.ECHO)
    with subprocess.Popen([stage.gw.programs["gatehouse"], "--runtime", stage.gw.runtime, "user", "add", "eve"], stdin=slave,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asked:
        wait_for(lambda: not shows(), "nothing is shown")
        asked.send_signal(signal.SIGINT)
        check(asked.wait(raw.LONG) == -signal.SIGINT, "it ends by the signal")
    check(shows(), "and all is shown again")
    os.close(master)
    os.close(slave)


def folder_of_authorities(stage, server):
    check(stage.refusal("far", "p", door=FAR) == 0, "its certificate is from one of the folder's authorities")
    check(server.asked == 1, "it was asked")


class Far(http.server.ThreadingHTTPServer):
    """An authorizer behind HTTPS that lets everybody in."""
    daemon_threads = True

    def __init__(self, folder):
        far = self
        self.asked = 0
        os.makedirs(os.path.join(folder, "authorities"))
        certificates = gateway.Certificates(folder)
        subprocess.run(["cp", certificates.ca, os.path.join(folder, "authorities", "far.pem")], check=True)
        subprocess.run([find_tool("openssl"), "rehash", os.path.join(folder, "authorities")], check=True, capture_output=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                far.asked += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
                body = json.dumps({"isAuthenticated": True, "principalId": "far", "policyDocuments": [document]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.issue("server"))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def config(self, folder):
        return f"[authorizer far]\nuri = https://127.0.0.1:{self.server_address[1]}/ask\nca = {folder}/authorities\n"


def no_secrets(stage):
    secrets = [PASSWORD, SECRET.decode(), base64.b64encode(f"alice:{PASSWORD}".encode()).decode(), "eyJ", "guess 1"]
    rows = json.dumps(stage.gw.ctl("audit/list", json.dumps({"max": 1000}).encode()))
    for text in secrets:
        check(not stage.gw.logged(text), f"\"{text}\" is in the log")
        check(text not in rows, f"\"{text}\" is in the audit log")


def checked(build):
    for text, expected in (("token-keys = /x.pem\n", "token-name"), ("token-name = a b\n", "letters, digits"),
                           ("token-name = t\ntoken-keys = a b c d e\n", "at most 4 files")):
        gw = gateway.Gateway(build, config="[authorizer x]\n" + text, listen=())
        done = subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)
        gw.end()
        check(done.returncode == 78 and expected in done.stderr, done.stderr)
    gw = gateway.Gateway(build, config="ca-key = /nowhere/ca.key\nserver-key = /nowhere/server.key\n", listen=())
    done = subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)
    gw.end()
    check(done.returncode == 78 and all(f"{key}: /nowhere/{key.replace('-', '.')}: expected a private key" in done.stderr
                                        for key in ("ca-key", "server-key")), done.stderr)


def main():
    suite = gateway.Suite(sys.argv[1])
    suite.run("--check tells what is wrong with keys", checked, suite.build)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        os.makedirs(os.path.join(folder, "fresh"))
        signer = Signer(folder)
        with open(signer.public, "rb") as file, open(os.path.join(folder, "signed.pem"), "wb") as copy:
            copy.write(file.read())
        far = Far(folder)
        config = signer.config() + far.config(folder) + f"[authorizer signed]\ntoken-name = tok\ntoken-keys = {folder}/signed.pem\n"
        with gateway.Gateway(suite.build, config=config, listen=LISTEN) as gw:
            stage = Stage(gw)
            suite.run("a user or a token is let in by HTTP, and may do what he may over MQTT", by_http, stage, signer)
            for version in "mqttv311", "mqttv5":
                for tls in False, True:
                    suite.run(f"mosquitto_pub and mosquitto_sub come with a password, {version}{', TLS' if tls else ''}", mosquitto, stage, version, tls)
            for tls in False, True:
                suite.run(f"Paho comes with a password{', TLS' if tls else ''}", paho, stage, tls)
            suite.run("a connection is asked about again, and ends when its authorizer wants it", asked_again, stage)
            suite.run("tokens for an authorizer are signed, or it is not asked", signed, stage, signer)
            suite.run("keys of tokens are read again, and bad ones are not taken", keys_change, stage, signer, folder)
            suite.run("a session is not had, nor ended, by somebody else with its client id", owners, stage)
            stage = Stage(gw)
            suite.run("who guesses by HTTP has to wait", too_often, stage)
            suite.run("an authorizer's server is known by a folder of authorities", folder_of_authorities, stage, far)
            suite.run("a terminal shows what is typed after Ctrl-C", terminal, stage)
            suite.run("no password is in the log or the audit log", no_secrets, stage)
    return suite.end()


gateway.run(main)
