#!/usr/bin/python3
"""Which certificate is shown to whom: by name, by what a client can check, after a reload; an operator's intermediate authority; and what
--check says about certificates. With openssl s_client and Python's ssl.

    tests/e2e/test_certificates.py BUILD
"""
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile

import gateway
import raw
from gateway import check, wait_for


class Shop(gateway.Certificates):
    """Servers with the names and keys that are asked for."""

    def sign(self, name, names=(), rsa=False, authority=None, days="1", more=""):
        """cert, key, by this authority or another; `more` are lines of extensions."""
        cert, key, request, extra = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        with open(extra, "w", encoding="ascii") as file:
            alternatives = ",".join("DNS:" + n for n in names)
            file.write((f"subjectAltName={alternatives}\n" if names else "") + more)
        ca, ca_key = authority or (self.ca, self.ca_key)
        kind = ("-newkey", "rsa:2048", "-nodes", "-keyout", key) if rsa else self.new_key(key)
        self.run("req", "-new", *kind, "-subj", f"/CN={name}", "-out", request)
        self.run("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", days, "-extfile", extra,
                 "-out", cert)
        return cert, key


def shown(port, ca, name, *words):
    """(common name, kind of key) that the server shows to s_client; fails when the chain is not good."""
    words = ["-servername", name, *words] if name else ["-noservername", *words]
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca, "-verify_return_error", *words],
                          input="", capture_output=True, text=True, timeout=raw.LONG, check=False)
    subject = re.search(r"^subject=.*CN = (\S+)", done.stdout, re.M)
    check(subject and "Verify return code: 0" in done.stdout, f"s_client {words}: {done.stdout}{done.stderr}")
    kind = re.search(r"^Peer signature type: (\S+)", done.stdout, re.M)
    return subject.group(1), kind.group(1) if kind else ""


VERSIONS = "-tls1_2", "-tls1_3"


def by_name(gw, shop):
    port = gw.port("mqtts")
    for version in VERSIONS:
        for asked, expected in (("a.example", "a"), ("x.b.example", "b"), ("y.b.example", "b"), ("x.y.b.example", "a"),
                                ("b.example", "a"), ("unknown.example", "a"), (None, "a"), ("c.example", "c")):
            got = shown(port, shop.ca, asked, version)
            check(got[0] == expected, f"{asked} {version}: expected {expected}, found {got}")


def by_kind(gw, shop):
    port = gw.port("mqtts")
    for version, old in (("-tls1_2", "RSA+SHA256"), ("-tls1_3", "rsa_pss_rsae_sha256:RSA+SHA256")):
        check(shown(port, shop.ca, "a.example", version) == ("a", "ECDSA"), f"{version}: ECDSA first")
        got = shown(port, shop.ca, "a.example", version, "-sigalgs", old)
        check(got[0] == "a-rsa" and got[1].startswith("RSA"), f"{version}: RSA to those who know no other: {got}")
        got = shown(port, shop.ca, None, version, "-sigalgs", old)
        check(got[0] == "a-rsa", f"{version}: RSA without a name, too: {got}")
    got = shown(port, shop.ca, "c.example", "-tls1_2")
    check(got[0] == "c", f"a certificate for some of the names is one for itself: {got}")


def short_records(gw, shop):
    for name in ("a.example", "x.b.example"):
        for length in ("512", "1024"):
            got = shown(gw.port("mqtts"), shop.ca, name, "-maxfraglen", length)
            check(got[0] == name.split(".")[-2], f"{name} with records of {length}: {got}")


def a_reload(gw, shop):
    context = ssl.create_default_context(cafile=shop.ca)
    context.load_cert_chain(*shop.sign("client"))
    context.check_hostname = False
    with raw.Client(gw.port("mqtts"), "client", tls=context) as client:
        client.subscribe("a/b")
        for name, rsa in (("c", False), ("a-rsa", True)):
            shop.run("x509", "-req", "-in", shop.path(name + ".csr"), "-CA", shop.ca, "-CAkey", shop.ca_key, "-days", "1", "-extfile",
                     shop.path(name + ".ext"), "-out", shop.path(name + ".pem"), "-set_serial", "4711")
        gw.process.send_signal(signal.SIGHUP)
        port = gw.port("mqtts")

        def serial(name, *words):
            done = subprocess.run(f"openssl s_client -connect 127.0.0.1:{port} -servername {name} {' '.join(words)} </dev/null 2>/dev/null "
                                  "| openssl x509 -noout -serial", shell=True, capture_output=True, text=True, check=False)
            return done.stdout.strip()
        wait_for(lambda: serial("c.example") == "serial=1267", "the new certificate of another host is shown")
        check(serial("a.example", "-sigalgs", "RSA+SHA256", "-tls1_2") == "serial=1267", "and the new one beside the first")
        client.publish("a/b", b"still here", qos=1)
        check(client.message().payload == b"still here", "the session goes on")
        with open(shop.path("c.pem"), "w", encoding="ascii") as file:
            file.write("no certificate\n")
        gw.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gw.logged("keeps its certificates: .*c.pem"), "what cannot be read is told")
        check(serial("c.example") == "serial=1267", "and the one before is shown")


def with_names(suite, folder):
    shop = Shop(folder)
    a, b = shop.sign("a", ("a.example", "www.a.example")), shop.sign("b", ("*.b.example",))
    a_rsa, c = shop.sign("a-rsa", ("www.a.example", "a.example"), rsa=True), shop.sign("c", ("c.example",))
    uri = "mqtts://127.0.0.1:0?" + "&".join(f"cert={cert}&key={key}" for cert, key in (a, b, a_rsa, c)) + f"&ca={shop.ca}&access=full"
    with gateway.Gateway(suite.build, listen=(uri,), folder=folder) as gw:
        suite.run("the certificate for the name is shown, wildcards too, else the first", by_name, gw, shop)
        suite.run("ECDSA first, and RSA beside it for those who know no other", by_kind, gw, shop)
        suite.run("records of 512 and 1024 bytes (MFLN) with whichever certificate", short_records, gw, shop)
        suite.run("a reload shows others, and keeps sessions and what was good", a_reload, gw, shop)


# ---- an operator's intermediate authority ---------------------------------------------------------------------------------


def only_the_root(gw, shop):
    """The client trusts the root and has a certificate from below the intermediate."""
    def ctl(request, **members):
        answer = gw.ctl(request, json.dumps(members).encode())
        check("code" not in answer, f"{request}: {answer}")
        return answer
    ctl("policy/create", name="valve", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    issued = ctl("ca/issue", name="valve", policy="valve")
    check(issued["certificate"].count("BEGIN CERTIFICATE") == 2, "a device gets the chain, too")
    with raw.Client(os.path.join(gw.runtime, "control.sock"), version=5) as asker:
        asker.subscribe("valve/answer")
        asker.send(raw.packet(raw.PUBLISH, 0, raw.text("$gatehouse/ctl/ca/issue") +
                              raw.properties(5, b"\x08" + raw.text("valve/answer")) + b'{"name":"valve-2"}'))
        answer = asker.message()
        check(b"PRIVATE KEY" in answer.payload and answer.qos == 0, "a private key is in no queue on disk")
    cert, key = shop.path("valve.pem"), shop.path("valve.key")
    for path, text in ((cert, issued["certificate"]), (key, issued["key"])):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    shop.run("verify", "-CAfile", shop.ca, "-untrusted", shop.path("plant.pem"), cert)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=shop.ca)
        context.load_cert_chain(cert, key)
        context.minimum_version = context.maximum_version = version
        with raw.Client(gw.port("mqtts"), "valve", tls=context) as client:
            client.subscribe("a/b")
    end = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-checkend", str(3 * 86400)], capture_output=True, check=False)
    check(end.returncode == 1, "nothing is good for longer than the authority")
    check(shown(gw.port("mqtts"), shop.ca, "gw.plant.example", "-verify_hostname", "gw.plant.example")[0] == "test", "names= are in it")


def with_intermediate(suite, folder):
    shop = Shop(folder)
    more = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
    ca, key = shop.sign("plant", more=more, days="2")
    config = f"ca = {ca}\nca-key = {key}\nnames = gw.plant.example\n"
    with gateway.Gateway(suite.build, config=config, listen=("mqtts://127.0.0.1:0?access=policy",), folder=folder) as gw:
        suite.run("an intermediate: its chain is shown, and clients that trust only the root come in", only_the_root, gw, shop)


# ---- --check --------------------------------------------------------------------------------------------------------------


def told(suite, folder, shop):
    good, other, twin = shop.sign("good", ("good.example",)), shop.sign("other", ("other.example",)), shop.sign(
        "twin", ("twin.example", "good.example"))
    old = shop.sign("old", ("old.example",))
    shop.run("x509", "-req", "-in", shop.path("old.csr"), "-CA", shop.ca, "-CAkey", shop.ca_key, "-days", "-1", "-out", old[0])
    intermediate = shop.sign("nobody")
    gw = gateway.Gateway(suite.build, listen=(), folder=folder)

    def judged(config):
        gw.write_config(config)
        return subprocess.run(gw.command("--check"), capture_output=True, text=True, check=False)

    def listener(*pairs, more=""):
        return "[listener l]\nuri = mqtts://127.0.0.1:0?" + "&".join(f"cert={c}&key={k}" for c, k in pairs) + f"&ca={shop.ca}{more}\n"

    done = judged(listener(good, other))
    check(done.returncode == 0 and not done.stderr, f"nothing is wrong: {done.stderr}")
    for config, line, words in (
            (listener(("/nowhere.pem", good[1])), 4, ["/nowhere.pem: expected a certificate chain in PEM form: No such file"]),
            (listener((good[0], "/nowhere.key")), 4, ["/nowhere.key: expected a private key in PEM form", "No such file"]),
            (listener((good[0], other[1])), 4, [f"{other[1]}: expected the private key of {good[0]}"]),
            (listener(old), 4, [f"{old[0]}: expected a certificate that is valid now: it has expired on 20"]),
            (listener(good, twin), 4, [f"{twin[0]}: expected names that no other certificate", f"{good[0]} is shown for good.example"]),
            (listener(good, more="&crl=/nowhere.crl"), 4, ["/nowhere.crl: expected lists of revoked certificates"]),
            (listener(("/nowhere.pem", good[1]), (good[0], other[1]), old), 4, ["/nowhere.pem", f"{other[1]}: expected", f"{old[0]}: "]),
            (f"[uplink u]\nuri = mqtts://127.0.0.1\ncert = {good[0]}\nkey = {other[1]}\n", 5, [f"{other[1]}: expected the private key of"]),
            (f"ca = {intermediate[0]}\nca-key = {good[1]}\n", 3, [f"{good[1]}: expected the private key of {intermediate[0]}"])):
        done = judged(config)
        check(done.returncode == 78, f"status 78, found {done.returncode}: {config}{done.stderr}")
        for word in [f"gatehouse.conf:{line}: ", *words]:
            check(word in done.stderr, f"expected {word!r}, found {done.stderr}")


def main():
    suite = gateway.Suite(sys.argv[1])
    for part in (with_names, with_intermediate):
        with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
            part(suite, folder)
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        suite.run("--check tells what is missing, mismatched, expired, and twice there", told, suite, folder, Shop(folder))
    return suite.end()


gateway.run(main)
