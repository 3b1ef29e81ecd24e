#!/usr/bin/python3
"""Keys that never leave a PKCS#11 token or a TPM 2.0: of the gateway's authority, of what its listeners show, and of its uplinks;
SoftHSM and swtpm.

    tests/e2e/test_tokens.py BUILD
"""
import json
import os
import ssl
import subprocess
import sys

import gateway
import raw
import tokens
from gateway import check

POLICY = "mqtts://127.0.0.1:0?access=policy"


def settings(ca_key, server_key):
    return f"ca-key = {ca_key}\nserver-key = {server_key}\n"


def start(suite, folder, place, config, listen=(POLICY,)):
    # Libraries of tokens and TPMs leave memory behind at the end, which is theirs.
    environment = {**place.environment, **({"ASAN_OPTIONS": "detect_leaks=0"} if suite.is_sanitized() else {})}
    prefix = ("env", *(f"{name}={value}" for name, value in environment.items()))
    return gateway.Gateway(suite.build, config=config, listen=listen, folder=folder, prefix=prefix)


def ctl(gw, request, **members):
    answer = gw.ctl(request, json.dumps(members).encode())
    check("code" not in answer, f"{request}: {answer}")
    return answer


def issue(gw, name):
    """A device's certificate from the gateway's authority, with its key, and the authority."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    ctl(gw, "policy/create", name=name, document=policy)
    issued = ctl(gw, "ca/issue", name=name, policy=name)
    paths = [os.path.join(gw.folder, name + end) for end in (".pem", ".key", "-ca.pem")]
    for path, text in zip(paths, (issued["certificate"], issued["key"], ctl(gw, "ca/show")["pem"])):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    return paths


def connect(gw, paths, version, name):
    context = ssl.create_default_context(cafile=paths[2])
    context.load_cert_chain(*paths[:2])
    context.minimum_version = context.maximum_version = version
    with raw.Client(gw.port("mqtts"), name, tls=context) as client:
        client.subscribe("a/b")
        client.publish("a/b", b"from a device", qos=1)
        check(client.message().payload == b"from a device", "the message comes back")


def devices_come_in(gw):
    paths = issue(gw, "valve")
    connect(gw, paths, ssl.TLSVersion.TLSv1_3, "valve")
    connect(gw, paths, ssl.TLSVersion.TLSv1_2, "valve")
    kept = os.listdir(os.path.join(gw.state, "identity"))
    check(not any(name.endswith(".key") for name in kept), f"no key is on disk: {kept}")


def the_next_start_has_the_same(gw):
    before = ctl(gw, "ca/show")["id"], open(os.path.join(gw.state, "identity/server.pem"), encoding="ascii").read()
    gw.restart()
    after = ctl(gw, "ca/show")["id"], open(os.path.join(gw.state, "identity/server.pem"), encoding="ascii").read()
    check(before == after, "the authority and the server's certificate are as before")
    paths = [os.path.join(gw.folder, "valve" + end) for end in (".pem", ".key", "-ca.pem")]
    connect(gw, paths, ssl.TLSVersion.TLSv1_3, "valve")


def it_is_not_rotated(gw):
    answer = gw.ctl("ca/rotate", b"{}")
    check(answer.get("code") == 409 and "is configured" in answer["message"], f"a rotation is refused: {answer}")


def start_fails(suite, folder, place, ca_key, *words):
    """With which words."""
    gw = start(suite, folder, place, settings(ca_key, place.broken_server))
    gw.state += "-broken"
    gw.launch()
    check(gw.wait() == 1, "the daemon ends with 1")
    line = next((line for line in gw.log if "cannot listen" in line), "")
    check(all(word.lower() in line.lower() for word in words), f"expected {words}, found {gw.log}")
    check(not any(pin in line for line in gw.log for pin in (tokens.PIN, tokens.OTHER_PIN)), "no PIN is in the log")


def pin_in_the_configuration(suite, folder, token):
    gw = start(suite, folder, token, settings(token.key("ca").replace("pin-source", "pin-value"), token.key("server")))
    done = subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)
    check(done.returncode == 78, f"status 78, found {done.returncode}")
    check("ca-key" in done.stderr and "pin-source=FILE" in done.stderr, f"it is said what is wrong: {done.stderr}")


class Broker:
    """A Mosquitto that lets nobody in without a certificate of that authority."""

    def __init__(self, folder, certificates):
        self.port = gateway.free_port()
        cert, key = certificates.issue("broker")
        conf = os.path.join(folder, "broker.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(f"listener {self.port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\ncafile {certificates.ca}\n"
                       "require_certificate true\nuse_identity_as_username true\nallow_anonymous true\n"
                       + ("user root\n" if os.getuid() == 0 else ""))
        self.log = open(os.path.join(folder, "broker.log"), "w+", encoding="ascii")
        self.process = subprocess.Popen([gateway.find_tool("mosquitto"), "-c", conf], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)

    def said(self, word):
        self.log.seek(0)
        return word in self.log.read()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def an_uplink(suite, folder, place, key, certificates):
    """Its client certificate is for a key that is in the device."""
    broker = Broker(folder, certificates)
    try:
        config = (f"[uplink cloud]\nuri = mqtts://127.0.0.1:{broker.port}\nclient-id = from-a-device\n"
                  f"cert = {certificates.path('client.pem')}\nkey = {key}\nca = {certificates.ca}\n")
        with start(suite, folder, place, config, listen=(gateway.OPEN,)) as gw:
            gateway.wait_for(lambda: gw.logged("uplink cloud: .*(up|connected)"), "the uplink is up")
            gateway.wait_for(lambda: broker.said("from-a-device") and broker.said("u'hsm'"), "the broker knows the certificate")
    finally:
        broker.end()


def a_wrong_pin(suite, folder, token, certificates):
    """An uplink tries for ever; a token that is asked with a wrong PIN again and again locks itself."""
    pin = token.write("changing-pin", tokens.OTHER_PIN)
    config = (f"[uplink cloud]\nuri = mqtts://127.0.0.1:{gateway.free_port()}\nclient-id = from-a-device\n"
              f"cert = {certificates.path('client.pem')}\nkey = {token.key('client', pin=pin)}\nca = {certificates.ca}\n")
    with start(suite, folder, token, config, listen=(gateway.OPEN,)) as gw:
        gateway.wait_for(lambda: gw.logged("PIN incorrect"), "the token refuses the PIN")
        gateway.wait_for(lambda: gw.logged("the token has refused this one"), "and is not asked again")
        check(not gw.logged(tokens.OTHER_PIN), "no PIN is in the log")
        before = len(gw.log)
        token.write("changing-pin", tokens.PIN)
        gateway.wait_for(lambda: any("cannot connect" in line for line in gw.log[before:]),
                         "with the right PIN in the file it goes on, as far as the broker, which is not there")


def with_token(suite, folder):
    token = tokens.Token(folder)
    ca, server = token.make("ca"), token.make("server")
    token.broken_server = server
    with start(suite, folder, token, settings(ca, server)) as gw:
        suite.run("token: the authority signs, the listener shows, TLS 1.2 and 1.3; no key is on disk", devices_come_in, gw)
        suite.run("token: the next start finds the same", the_next_start_has_the_same, gw)
        suite.run("token: an authority whose key was given is not rotated", it_is_not_rotated, gw)
    certificates = gateway.Certificates(folder)
    _, client = tokens.certificate(certificates, token, "client")
    suite.run("token: an uplink to a broker shows a certificate whose key is there", an_uplink, suite, folder, token, client, certificates)
    suite.run("token: a wrong PIN is not tried again", a_wrong_pin, suite, folder, token, certificates)
    wrong = token.write("wrong-pin", tokens.OTHER_PIN)
    suite.run("token: another token", start_fails, suite, folder, token, token.key("ca", token="other"),
              "expected a token with this label", 'found "gw"')
    suite.run("token: another key", start_fails, suite, folder, token, token.key("nobody"), "expected a private key", "not found")
    suite.run("token: a wrong PIN", start_fails, suite, folder, token, token.key("ca", pin=wrong), "PIN incorrect")
    suite.run("token: no file with a PIN", start_fails, suite, folder, token, token.key("ca", pin="/nowhere/pin"), "/nowhere/pin")
    suite.run("token: a PIN in the configuration is refused", pin_in_the_configuration, suite, folder, token)


def with_tpm(suite, folder):
    tpm = tokens.Tpm(folder)
    try:
        ca, server = tpm.make_persistent("0x81000001"), tpm.make("server")
        tpm.broken_server = server
        with start(suite, folder, tpm, settings(ca, server)) as gw:
            suite.run("TPM: the authority signs, the listener shows, TLS 1.2 and 1.3; no key is on disk", devices_come_in, gw)
            suite.run("TPM: the next start finds the same", the_next_start_has_the_same, gw)
        suite.run("TPM: another handle", start_fails, suite, folder, tpm, "handle:0x81000002", "handle:0x81000002", "expected a key")
    finally:
        tpm.end()


def main():
    suite = gateway.Suite(sys.argv[1])
    for part in (with_token, with_tpm):
        with gateway.tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
            try:
                part(suite, folder)
            except gateway.Skip as reason:
                suite.run(part.__name__, lambda reason=reason: (_ for _ in ()).throw(reason))
    return suite.end()


gateway.run(main)
