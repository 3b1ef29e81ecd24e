#!/usr/bin/python3
"""Temporary AWS credentials for functions: from a credential provider that wants the gateway's certificate, over the bus and by HTTP, where
boto3 finds them by itself.

    tests/e2e/test_credentials.py BUILD
"""
import datetime
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import gateway
import raw
import tokens
from gateway import Skip, check, wait_for

SECRET, SESSION = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE" * 20


class Provider:
    """Who gives credentials to the thing `gw` for the role alias `plant`, to whoever shows a certificate of that authority."""

    def __init__(self, certificates):
        self.asked, self.status, self.life = [], 200, 3600
        self.gate = threading.Event()
        self.gate.set()
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.gate.wait(raw.LONG)
                subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
                provider.asked.append((self.path, self.headers.get("x-amzn-iot-thingname"), subject["commonName"],
                                       self.headers.get("Content-Length")))
                status, body = provider.answer()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.issue("provider"))
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.endpoint = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self):
        if self.status != 200:
            return self.status, b'{"message":"Access Denied"}'
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.life)
        return 200, json.dumps({"credentials": {
            "accessKeyId": f"ASIA{len(self.asked):04}", "secretAccessKey": SECRET, "sessionToken": SESSION,
            "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}}).replace("/", "\\/").encode()

    def end(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Stage:
    def __init__(self, gw, provider):
        self.gw, self.provider = gw, provider

    def get(self, name="aws", payload=b""):
        return self.gw.request(f"$gatehouse/credentials/{name}/get", payload)

    def environment(self):
        """What a function with credentials= has."""
        status = wait_for(lambda: next((p for p in self.gw.ctl("plugin/list")["plugins"] if p["state"] == "running"), None), "it runs")
        with open(f"/proc/{status['pid']}/environ", "rb") as file:
            pairs = dict(pair.split("=", 1) for pair in file.read().decode().split("\0") if "=" in pair)
        return {name: value for name, value in pairs.items() if name.startswith("AWS_")}


def http_get(uri, token, method="GET"):
    where = urllib.parse.urlsplit(uri)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=raw.LONG)
    connection.request(method, where.path, headers={"Authorization": token} if token else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def by_the_bus(stage):
    check(not stage.provider.asked, "nobody is asked before somebody wants them")
    got = stage.get()
    check(got["AccessKeyId"] == "ASIA0001" and got["SecretAccessKey"] == SECRET and got["Token"] == SESSION, f"they come: {got}")
    check(stage.get() == got and len(stage.provider.asked) == 1, "and are kept")
    check(stage.provider.asked[0] == ("/role-aliases/plant/credentials", "gw", "gw", None), f"as asked for: {stage.provider.asked}")
    check(stage.get("nobody")["code"] == 404, "others are not there")


def by_http(stage):
    found = stage.environment()
    uri, token = found["AWS_CONTAINER_CREDENTIALS_FULL_URI"], found["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    status, body = http_get(uri, token)
    check(status == 200 and json.loads(body)["SecretAccessKey"] == SECRET, f"{status} {body}")
    for wrong in (None, "", token[:-1], token[:-1] + ("0" if token[-1] != "0" else "1")):
        check(http_get(uri, wrong)[0] == 403, "not without the token")
    check(http_get(uri + "x", token)[0] == 404, "others are not there")
    check(http_get(uri, token, "POST")[0] == 405, "only GET")
    base = uri[:uri.index("/credentials")]
    check(http_get(base + "/metrics", token)[0] == 404, "and nothing else is served there")
    wait_for(lambda: any("authorization token" in row["reason"] for row in stage.gw.ctl(
        "audit/list", b'{"what":"refused/credentials"}')["entries"]), "the audit log knows who was refused")


def by_boto3(stage):
    if subprocess.run(["/usr/bin/python3", "-c", "import boto3"], capture_output=True, check=False).returncode:
        raise Skip("boto3 is not installed")
    code = ("import boto3; c = boto3.Session().get_credentials(); f = c.get_frozen_credentials(); "
            "print(c.method, f.access_key, f.secret_key, f.token)")
    environment = {"PATH": os.environ["PATH"], "HOME": stage.gw.folder, "AWS_EC2_METADATA_DISABLED": "true", **stage.environment()}
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, env=environment, check=False)
    check(done.stdout.split() == ["container-role", "ASIA0001", SECRET, SESSION], f"{done.stdout}{done.stderr[-500:]}")


def a_refusal(stage):
    """403 is told with the provider's sentence, and not asked for again at once."""
    before = len(stage.provider.asked)
    stage.provider.status = 403
    for _ in range(3):
        got = stage.get("other")
        check(got["code"] == 403 and "Access Denied" in got["message"], f"{got}")
    check(len(stage.provider.asked) == before + 1, "the provider was asked once")
    stage.provider.status = 200
    wait_for(lambda: stage.gw.logged("credentials other: the provider answers 403: Access Denied"), "the log says it")


def all_wait_for_one(stage):
    """Many ask while the first request is under way."""
    before = len(stage.provider.asked)
    stage.provider.gate.clear()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(stage.get("third"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    with stage.gw.client("other") as client:
        client.subscribe("a/b")
        client.publish("a/b", b"x", qos=1)
        check(client.message().payload == b"x", "the gateway goes on meanwhile")
    stage.provider.gate.set()
    for thread in threads:
        thread.join(raw.LONG)
    check(len(answers) == 5 and all(a.get("SecretAccessKey") == SECRET for a in answers), f"{answers}")
    check(len(stage.provider.asked) == before + 1, "one request for all")


def they_are_renewed(stage):
    """Ones that are good for seconds, and then the provider fails."""
    stage.provider.life = 2
    first = stage.get("short")
    second = wait_for(lambda: next((got for got in [stage.get("short")] if got["AccessKeyId"] != first["AccessKeyId"]), None),
                      "others come", pause=0.1)
    check(second["Expiration"] >= first["Expiration"], f"they are good for longer: {first} {second}")
    stage.provider.status = 500
    wait_for(lambda: stage.gw.logged("credentials short: the provider answers 500: Access Denied"), "a failure is told")
    stage.provider.status, stage.provider.life = 200, 3600
    third = wait_for(lambda: next((got for got in [stage.get("short")] if got.get("AccessKeyId", second["AccessKeyId"]) != second[
        "AccessKeyId"]), None), "it is tried again", pause=0.1)
    check(third["SecretAccessKey"] == SECRET, f"{third}")


def no_secret_is_told(stage):
    check(not any(word in line for line in stage.gw.log for word in (SECRET, SESSION)), "not in the log")
    for root, _, names in os.walk(stage.gw.state):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                data = file.read()
            check(SECRET.encode() not in data and SESSION.encode() not in data, f"not on disk: {name}")


def from_a_token(stage):
    got = stage.get("token")
    check(got.get("SecretAccessKey") == SECRET, f"they come: {got}")
    check(stage.provider.asked[-1][2] == "hsm", f"shown was: {stage.provider.asked[-1]}")


def section(name, provider, certificates, pair):
    return (f"[credentials {name}]\nendpoint = {provider.endpoint}\nrole-alias = plant\nthing = gw\ncert = {pair[0]}\nkey = {pair[1]}\n"
            f"ca = {certificates.ca}\n")


def main():
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        certificates = gateway.Certificates(folder)
        provider = Provider(certificates)
        pair, prefix, extra = certificates.issue("gw"), (), ""
        try:
            token = tokens.Token(folder)
            prefix = ("env", *(f"{name}={value}" for name, value in token.environment.items()))
            extra = section("token", provider, certificates, tokens.certificate(certificates, token, "client"))
        except Skip as reason:
            print(f"  without a token: {reason}")
        plugin = os.path.join(suite.build, "plugins/hello/hello.so")
        config = "".join(section(name, provider, certificates, pair) for name in ("aws", "other", "third", "short")) + extra
        config += f"[plugin function]\npath = {plugin}\npublish = hello/answer\nsubscribe = hello/ask\ncredentials = aws\n"
        with gateway.Gateway(suite.build, config=config, folder=folder, prefix=prefix) as gw:
            stage = Stage(gw, provider)
            suite.run("by the bus: fetched when they are wanted, and kept", by_the_bus, stage)
            suite.run("by HTTP with the token of the function's environment, and nothing else", by_http, stage)
            suite.run("boto3 finds them by itself", by_boto3, stage)
            suite.run("a refusal is told, and not asked for again at once", a_refusal, stage)
            suite.run("many wait for one request, and the gateway goes on", all_wait_for_one, stage)
            if extra:
                suite.run("the client's key is in a PKCS#11 token", from_a_token, stage)
            suite.run("they are renewed, and after a failure tried again", they_are_renewed, stage)
            suite.run("no secret is in the log or on disk", no_secret_is_told, stage)
        provider.end()
    return suite.end()


gateway.run(main)
