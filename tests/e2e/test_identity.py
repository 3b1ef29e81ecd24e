#!/usr/bin/python3
"""Who may talk: certificates of the gateway's own authority and of others, policies, refusals with their reasons in the log and
the audit log; with Paho over TLS.

    tests/e2e/test_identity.py BUILD [--kills N]
"""
import argparse
import http.client
import json
import os
import random
import re
import ssl
import subprocess
import threading
import time

import gateway
import raw
from gateway import check, wait_for

try:
    import paho.mqtt.client as paho
except ImportError:
    paho = None

POLICY = "mqtts://127.0.0.1:0?access=policy"
POLICY_WEB = "https://127.0.0.1:0?access=policy"
PLACE = "arn:aws:iot:local:000000000000:"


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action, *resources):
    return {"Effect": "Allow", "Action": action, "Resource": [PLACE + r for r in resources]}


def deny(action, *resources):
    return {"Effect": "Deny", "Action": action, "Resource": [PLACE + r for r in resources]}


class Device:
    """A Paho client with a certificate, and what it has heard."""

    def __init__(self, stage, identity, client_id, version=5, will=None):
        api = {"callback_api_version": paho.CallbackAPIVersion.VERSION1} if hasattr(paho, "CallbackAPIVersion") else {}
        self.client = paho.Client(client_id=client_id, protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311, **api)
        context = ssl.create_default_context(cafile=stage.ca)
        if identity:
            context.load_cert_chain(*identity)
        self.client.tls_set_context(context)
        self.connected, self.gone = [], []
        self.messages, self.subscribed, self.published = [], {}, {}
        self.client.on_connect = lambda _c, _u, _f, code, *_p: self.connected.append(getattr(code, "value", code))
        self.client.on_disconnect = lambda _c, _u, code, *_p: self.gone.append(getattr(code, "value", code))
        self.client.on_message = lambda _c, _u, m: self.messages.append((m.topic, m.payload.decode()))
        self.client.on_subscribe = lambda _c, _u, mid, codes, *_p: self.subscribed.update({mid: [int(getattr(c, "value", c)) for c in codes]})
        if will:
            self.client.will_set(will[0], "gone", 1, will[1])
        self.client.connect("127.0.0.1", stage.gw.port("mqtts"), 60)
        self.client.loop_start()

    def __enter__(self):
        wait_for(lambda: self.connected, "CONNACK")
        check(self.connected[0] == 0, f"CONNACK {self.connected}")
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def end(self):
        self.client.loop_stop()

    def subscribe(self, topic):
        _, mid = self.client.subscribe(topic, 1)
        wait_for(lambda: mid in self.subscribed, "SUBACK")
        return self.subscribed[mid]

    def publish(self, topic, payload="x", retain=False):
        info = self.client.publish(topic, payload, 1, retain)
        info.wait_for_publish(raw.LONG)


class Stage:
    def __init__(self, gw):
        self.gw = gw
        self.folder = os.path.join(gw.folder, "devices")
        os.makedirs(self.folder, exist_ok=True)
        shown = gw.ctl("ca/show")
        self.ca = self.write("gateway-ca.pem", shown["pem"])
        self.numbers = iter(range(1, 100000))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def ctl(self, request, **members):
        answer = self.gw.ctl(request, json.dumps(members).encode())
        check("code" not in answer, f"{request} {members}: {answer}")
        return answer

    def refused(self, request, code, **members):
        answer = self.gw.ctl(request, json.dumps(members).encode())
        check(answer.get("code") == code, f"{request} {members}: expected {code}, found {answer}")

    def issue(self, name, **members):
        """(certificate, key), id."""
        issued = self.ctl("ca/issue", name=name, **members)
        return ((self.write(name + ".pem", issued["certificate"]), self.write(name + ".key", issued["key"])),
                issued["id"])

    def issue_with(self, name, document):
        self.ctl("policy/create", name=name + "-policy", document=document)
        return self.issue(name, policy=name + "-policy")

    def audited(self, what, text):
        """A row of the audit log that says that."""
        def found():
            rows = self.gw.ctl("audit/list", json.dumps({"what": what}).encode())["entries"]
            return [r for r in rows if text in r["reason"] or text in r["object"] or text in r["who"]]
        return wait_for(found, f"the audit log says {what} … {text}")[-1]

    def try_raw(self, identity, client_id="x"):
        """How a connection ends: the reason code of CONNACK, or "closed"."""
        context = ssl.create_default_context(cafile=self.ca)
        if identity:
            context.load_cert_chain(*identity)
        try:
            raw.Client(self.gw.port("mqtts"), client_id, version=5, tls=context).abort()
            return 0
        except AssertionError as refusal: # of CONNECT
            return int(str(refusal).rsplit(" ", 1)[1], 16)
        except (OSError, raw.Closed):
            return "closed"


def a_node_of_the_own_authority_uses_its_own_topics(stage):
    identity, _ = stage.issue("pump")
    with Device(stage, identity, "pump") as device:
        check(device.subscribe("cmd/pump/#") == [1], "its own commands")
        check(device.subscribe("cmd/other/#")[0] >= 0x80, "not another's")
        stage.gw.cli("pub", "cmd/pump/go", "now")
        wait_for(lambda: ("cmd/pump/go", "now") in device.messages, "the command arrives")
        device.publish("dt/pump/env", "1")
        check(device.subscribe("$aws/things/pump/shadow/#") == [1], "its shadow")
        device.publish("$aws/things/pump/shadow/update", '{"state":{"reported":{"a":1}}}')
        wait_for(lambda: any(t.endswith("update/accepted") for t, _ in device.messages), "its shadow answers")


def policies_of_several_kinds_decide(stage):
    identity, cert = stage.issue_with("press-07", policy(
        allow("iot:Connect", "client/${iot:Connection.Thing.ThingName}"),
        allow(["iot:Publish", "iot:Receive"], "topic/a/*"), deny("iot:Publish", "topic/a/secret"),
        allow("iot:RetainPublish", "topic/a/kept"),
        allow("iot:Subscribe", "topicfilter/a/*", "topicfilter/b/*", "topicfilter/$share/g/a/*")))
    with Device(stage, identity, "press-07") as device:
        check(device.subscribe("a/#") == [1], "a filter that is allowed")
        check(device.subscribe("b/#") == [1], "b/# is allowed, though nothing of it may be received")
        check(device.subscribe("c/#")[0] == 0x87, "a filter that is not")
        check(device.subscribe("$share/g/a/#") == [1], "a shared one by its whole name")
        check(device.subscribe("$share/h/a/#")[0] == 0x87, "and not by another")
        for topic in ("b/1", "a/1"):
            stage.gw.cli("pub", topic, topic)
        wait_for(lambda: ("a/1", "a/1") in device.messages, "a/1 arrives")
        check(not any(t == "b/1" for t, _ in device.messages), "b/1 does not")
        with raw.Client(stage.gw.port("mqtt"), "listener", version=5) as listener:
            listener.subscribe("#")
            device.publish("a/secret", "1")
            device.publish("a/kept", "2", retain=True)
            device.publish("a/last", "3", retain=True)
            device.publish("a/end", "4")
            topics = []
            while not topics or topics[-1] != "a/end":
                message = listener.message()
                topics.append(message.topic)
            topics = [t for t in topics if t.startswith("a/")]
            check("a/secret" not in topics and "a/last" not in topics and "a/kept" in topics, f"heard {topics}")
    row = stage.audited("refused/publish", "a/secret")
    check(row["who"] == cert, f"it says who: {row}")
    stage.audited("refused/retain", "a/last")
    answer = stage.ctl("policy/can", node="press-07", action="publish", resource="a/secret")
    check((answer["decision"], answer["policy"], answer["statement"]) == ("EXPLICIT_DENY", "press-07-policy", 3), answer)
    answer = stage.ctl("policy/can", node="press-07", action="publish", resource="a/x")
    check((answer["decision"], answer["version"]) == ("ALLOWED", 1), answer)
    answer = stage.ctl("policy/can", node="press-07", action="connect", resource="other")
    check(answer["decision"] == "IMPLICIT_DENY", answer)


def another_ones_client_id_is_refused(stage):
    identity, _ = stage.issue_with("valve-1", policy(allow("iot:Connect", "client/${iot:Connection.Thing.ThingName}")))
    stage.issue("valve-2")
    check(stage.try_raw(identity, "valve-1") == 0, "its own")
    check(stage.try_raw(identity, "valve-2") == 0x87, "another one's")
    check(wait_for(lambda: stage.gw.logged("no policy lets it connect"), "the log says why"), "")
    stage.audited("refused/connect", "valve-2")


def a_will_needs_its_permission(stage):
    identity, _ = stage.issue_with("wills", policy(allow("iot:Connect", "client/*"), allow("iot:Publish", "topic/will/*")))
    for topic, retain, code in (("will/a", False, 0), ("other/a", False, 0x87), ("will/a", True, 0x87)):
        device = Device(stage, identity, "wills", will=(topic, retain))
        wait_for(lambda d=device: d.connected, "CONNACK")
        check(device.connected[0] == code, f"will on {topic}, retained {retain}: {device.connected}")
        device.client.disconnect()
        device.end()


def a_policy_that_changes_holds_for_who_is_connected(stage):
    identity, cert = stage.issue_with("late", policy(allow("iot:*", "*")))
    stage.ctl("policy/update", name="late-policy", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    with Device(stage, identity, "late") as device:
        device.subscribe("late/#")
        device.publish("late/1")
        wait_for(lambda: len(device.messages) == 1, "it hears itself")
        stage.ctl("policy/detach", name="late-policy", target=cert)
        stage.gw.cli("pub", "late/2", "x")
        stage.ctl("policy/attach", name="late-policy", target=cert)
        stage.gw.cli("pub", "late/3", "x")
        wait_for(lambda: len(device.messages) > 1, "it hears again")
        check([t for t, _ in device.messages] == ["late/1", "late/3"], f"and nothing between: {device.messages}")
        stage.ctl("group/create", name="quarantine")
        stage.ctl("policy/create", name="silent", document=policy(deny("iot:Receive", "topic/late/*")))
        stage.ctl("policy/attach", name="silent", target="thinggroup/quarantine")
        stage.ctl("group/attach", name="quarantine", thing="late")
        stage.gw.cli("pub", "late/4", "x")
        stage.ctl("group/detach", name="quarantine", thing="late")
        stage.gw.cli("pub", "late/5", "x")
        wait_for(lambda: any(t == "late/5" for t, _ in device.messages), "it hears after its quarantine")
        check(not any(t == "late/4" for t, _ in device.messages), "and nothing of it")


def revoking_closes_at_once_and_keeps_out(stage):
    identity, cert = stage.issue("thief")
    device = Device(stage, identity, "thief")
    wait_for(lambda: device.connected, "CONNACK")
    with raw.Client(stage.gw.port("mqtt"), "watcher", version=5) as watcher:
        watcher.subscribe("$aws/events/certificate/#", "$aws/events/presence/disconnected/#")
        stage.ctl("cert/status", id=cert, status="REVOKED")
        wait_for(lambda: device.gone, "its connection ends")
        device.end()
        seen = [watcher.message().topic for _ in range(2)]
        check(sorted(seen) == [f"$aws/events/certificate/{cert}/updated", "$aws/events/presence/disconnected/thief"],
              f"events: {seen}")
    check(stage.try_raw(identity, "thief") == "closed", "it does not come in again")
    stage.audited("refused/handshake", "REVOKED")
    wait_for(lambda: stage.gw.logged("refused: its certificate is REVOKED"), "the log says why")
    crl = os.path.join(stage.gw.state, "identity", "ca.crl")
    wait_for(lambda: os.path.exists(crl), "the list of revoked certificates is written")
    serial = subprocess.run([gateway.find_tool("openssl"), "x509", "-in", identity[0], "-noout", "-serial"], capture_output=True,
                             text=True, check=True).stdout.split("=")[1]
    check(serial.strip() in listed_in(crl), "and it is in there")
    stage.ctl("cert/status", id=cert, status="ACTIVE")
    check(stage.try_raw(identity, "thief") == 0, "active again, it comes in")
    stage.ctl("cert/status", id=cert, status="INACTIVE")
    check(stage.try_raw(identity, "thief") == "closed", "inactive, it does not")
    stage.audited("refused/handshake", "INACTIVE")
    stage.refused("cert/delete", 409, id=cert)
    stage.ctl("cert/delete", id=cert, force=True)
    check(stage.try_raw(identity, "thief") == "closed", "deleted, it does not")
    stage.audited("refused/handshake", "is not registered, though its authority is")


def listed_in(crl):
    text = subprocess.run([gateway.find_tool("openssl"), "crl", "-in", crl, "-noout", "-text"], capture_output=True, text=True,
                          check=True).stdout
    return re.findall(r"Serial Number: (\w+)", text)


def what_was_revoked_is_in_every_list_when_it_is_deleted(stage):
    crl = os.path.join(stage.gw.state, "identity", "ca.crl")
    (gone, _), cert = stage.issue("gone")
    _, other = stage.issue("other")
    serial = subprocess.run([gateway.find_tool("openssl"), "x509", "-in", gone, "-noout", "-serial"], capture_output=True, text=True,
                            check=True).stdout.strip().split("=")[1]
    stage.ctl("cert/status", id=cert, status="REVOKED")
    wait_for(lambda: serial in listed_in(crl), "it is listed")
    stage.ctl("cert/delete", id=cert, force=True)
    stage.ctl("cert/status", id=other, status="REVOKED")
    wait_for(lambda: len(listed_in(crl)) == 2 and serial in listed_in(crl), "and is, deleted, in the next list")
    stage.gw.restart()
    stage.ctl("cert/status", id=other, status="ACTIVE")
    wait_for(lambda: listed_in(crl) == [serial], "and after a restart")
    with open(gone, encoding="ascii") as file:
        stage.ctl("cert/register", pem=file.read())
    wait_for(lambda: listed_in(crl) == [], "until it is registered once more")


def a_foreign_certificate_is_refused_until_it_is_registered(stage):
    foreign = gateway.Certificates(stage.folder, "foreign")
    identity = foreign.issue("stranger")
    check(stage.try_raw(identity, "stranger") == "closed", "a stranger")
    stage.audited("refused/handshake", "no authority here has signed it")
    check(stage.try_raw(None, "nobody") == "closed", "nobody at all")
    with open(identity[0], encoding="ascii") as file:
        found = stage.ctl("cert/register", pem=file.read())
    stage.ctl("thing/create", name="stranger")
    stage.ctl("thing/attach", name="stranger", principal=found["id"])
    check(stage.try_raw(identity, "stranger") == 0x87, "registered, but without a policy")
    stage.ctl("policy/attach", name="gatehouse-node", target=found["id"])
    check(stage.try_raw(identity, "stranger") == 0, "and with one")


def dates_count(stage):
    openssl = gateway.find_tool("openssl")
    for name, start, end, why in (("old", "20200101000000Z", "20200201000000Z", "certificate has expired"),
                                  ("young", "20480101000000Z", "20490101000000Z", "certificate is not yet valid")):
        key, cert = (os.path.join(stage.folder, name + ext) for ext in (".key", ".pem"))
        subprocess.run([openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True,
                       capture_output=True)
        done = subprocess.run([openssl, "x509", "-new", "-key", key, "-subj", f"/CN={name}", "-not_before", start, "-not_after",
                               end, "-out", cert], capture_output=True, text=True, check=False)
        if done.returncode:
            signer = gateway.Certificates(stage.folder, name + "-ca")
            done = subprocess.run([openssl, "req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", cert + ".csr"],
                                  capture_output=True, check=True)
            make_dated(openssl, signer, cert, start, end)
        with open(cert, encoding="ascii") as file:
            found = stage.ctl("cert/register", pem=file.read())
        stage.ctl("policy/attach", name="gatehouse-node", target=found["id"])
        check(stage.try_raw((cert, key), name) == "closed", f"{name}: refused")
        stage.audited("refused/handshake", why)


def make_dated(openssl, signer, cert, start, end):
    """With `openssl ca`, which has known dates for long."""
    folder = cert + ".ca"
    os.mkdir(folder)
    for name, text in (("index.txt", ""), ("serial", "01\n"), ("ca.cnf", f"""[ca]
default_ca = it
[it]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
""")):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
    subprocess.run([openssl, "ca", "-batch", "-config", os.path.join(folder, "ca.cnf"), "-in", cert + ".csr", "-cert", signer.ca,
                    "-keyfile", signer.ca_key, "-startdate", start, "-enddate", end, "-notext", "-out", cert], check=True,
                   capture_output=True)


def groups_types_and_searching(stage):
    stage.ctl("type/create", name="valve", description="it opens")
    stage.ctl("thing/create", name="v1", type="valve", attributes={"hall": "7", "dn": "50"})
    stage.ctl("thing/create", name="v2", type="valve", attributes={"hall": "8"})
    stage.refused("thing/create", 409, name="v1")
    stage.refused("thing/create", 404, name="v3", type="nothing")
    stage.refused("thing/create", 400, name="v 3")
    stage.refused("thing/create", 400, name="v3", colour="red")
    found = stage.ctl("thing/search", query="thingTypeName:valve AND attributes.dn>=40")
    check([t["name"] for t in found["things"]] == ["v1"], found)
    stage.refused("thing/search", 400, query="shadow.reported.a:1")
    stage.ctl("group/create", name="eights", query="attributes.hall:8")
    check(stage.ctl("group/describe", name="eights")["things"] == ["v2"], "a group by its query")
    stage.ctl("thing/update", name="v1", attributes={"hall": "8"})
    check(stage.ctl("group/describe", name="eights")["things"] == ["v1", "v2"], "it follows attributes")
    page = stage.ctl("thing/list", max=1)
    check(len(page["things"]) == 1 and page["next"], page)


def who_is_there_is_known(stage):
    identity, _ = stage.issue("present")
    with raw.Client(stage.gw.port("mqtt"), "presence-watcher", version=5) as watcher:
        watcher.subscribe("$aws/events/presence/+/present")
        watcher.subscribe("$aws/events/subscriptions/+/present")
        with Device(stage, identity, "present") as device:
            event = json.loads(watcher.message().payload)
            check(event["eventType"] == "connected" and event["thingName"] == "present" and
                  event["ipAddress"] == "127.0.0.1", event)
            device.subscribe("cmd/present/#")
            check(json.loads(watcher.message().payload)["topics"] == ["cmd/present/#"], "what it subscribed to")
            found = stage.ctl("thing/search", query="connectivity.connected:true AND thingName:present")
            check(len(found["things"]) == 1, "the registry knows")
        event = json.loads(watcher.message().payload)
        check(event["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT" and event["clientInitiatedDisconnect"], event)
    found = stage.ctl("thing/search", query="connectivity.disconnectReason:CLIENT_INITIATED_DISCONNECT thingName:present")
    check(len(found["things"]) == 1, "and why it left")


def commands_do_it(stage):
    gw, folder = stage.gw, stage.folder
    written = gw.cli("ca", "issue", "drill", "--out", folder).split()
    check([os.path.basename(p) for p in written] == ["drill.key", "drill.pem", "drill-ca.pem"], f"files: {written}")
    check(os.stat(written[0]).st_mode & 0o777 == 0o600, "the key is for nobody else")
    check(stage.try_raw((written[1], written[0]), "drill") == 0, "they let it in")
    gw.cli("ca", "issue", "drill", "--out", folder, status=1) # its files are there
    check(gw.cli("can", "drill", "publish", "dt/drill/env").startswith("yes: gatehouse-node, version 1, statement 2 (Speak)"), "can")
    check(gw.cli("can", "drill", "publish", "dt/other/env", status=1).startswith("no: no statement"), "cannot")
    gw.cli("thing", "create", "lathe", "--type", "none", status=1)
    gw.cli("thing", "create", "lathe", "hall=7", "maker=Acme")
    gw.cli("thing", "update", "lathe", "hall=8", "maker=")
    check("hall=8" in gw.cli("thing", "search", "attributes.hall:8 AND thingName:la*"), "search")
    gw.cli("group", "create", "machines")
    gw.cli("group", "attach", "machines", "lathe")
    check("lathe" in gw.cli("group", "describe", "machines"), "a member")
    check("machines" in gw.cli("group", "list"), "groups")
    path = stage.write("no.json", json.dumps(policy(deny("iot:Publish", "topic/dt/drill/*"))))
    gw.cli("policy", "create", "no", path)
    cert = gw.ask("thing", "describe", "drill")["principals"][0]["name"]
    gw.cli("policy", "attach", "no", cert)
    check(gw.cli("can", "drill", "publish", "dt/drill/env", status=1).startswith("no: no, version 1, statement 1"), "denied")
    gw.cli("policy", "detach", "no", cert)
    gw.cli("policy", "delete", "no")
    gw.cli("cert", "revoke", cert[:10])
    check(stage.try_raw((written[1], written[0]), "drill") == "closed", "revoked, it is out")
    check("REVOKED" in gw.cli("cert", "list"), "the list says so")
    check("certificate/updated" in gw.cli("audit", "certificate/", "--since", "1h"), "and the audit log")
    gw.cli("audit", "--since", "soon", status=2)
    gw.cli("cert", "revoke", "0000", status=1)
    check(gw.cli("ca", "export").startswith("-----BEGIN CERTIFICATE"), "the authority for clients")
    check("yes" in gw.cli("ca", "list") or "no" in gw.cli("ca", "list"), "authorities")


def rest_asks_policies(stage):
    identity, cert = stage.issue_with("web", policy(
        allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], "thing/web", "thing/web/cfg"),
        allow("iot:Publish", "topic/dt/web/*")))
    context = ssl.create_default_context(cafile=stage.ca)
    context.load_cert_chain(*identity)

    def status(method, path, body=None):
        connection = http.client.HTTPSConnection("127.0.0.1", stage.gw.port("https"), timeout=raw.LONG, context=context)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        finally:
            connection.close()
    document = '{"state":{"desired":{"a":1}}}'
    check(status("POST", "/things/web/shadow", document) == 200, "its shadow")
    check(status("GET", "/things/web/shadow") == 200, "read back")
    check(status("DELETE", "/things/web/shadow") == 403, "not deleted")
    check(status("POST", "/things/web/shadow?name=cfg", document) == 200, "a named one")
    check(status("POST", "/things/web/shadow?name=other", document) == 403, "not another")
    check(status("GET", "/things/press-07/shadow") == 403, "nor another thing's")
    check(status("POST", "/topics/dt/web/1?qos=1", "x") == 200, "a message")
    check(status("POST", "/topics/dt/other?qos=1", "x") == 403, "not elsewhere")
    stage.ctl("cert/status", id=cert, status="REVOKED")
    try:
        found = status("GET", "/things/web/shadow")
    except OSError:
        found = "closed"
    check(found in ("closed", 401), f"revoked: {found}")


def another_authority_takes_over(stage):
    before, _ = stage.issue("before")
    with Device(stage, before, "before") as device:
        shown = stage.ctl("ca/rotate")
        old, stage.ca = stage.ca, stage.write("gateway-ca-2.pem", shown["pem"])
        device.publish("dt/before/1")
        check(not device.gone, "who was connected stays")
    check(stage.try_raw(before, "before") == 0, "what the old one signed stays good, with the new one's server")
    after, _ = stage.issue("after")
    check(stage.try_raw(after, "after") == 0, "and the new one signs")
    check(old != stage.ca, "")


def restarted_it_is_all_there(stage):
    identity, cert = stage.issue("kept")
    stage.ctl("thing/update", name="kept", attributes={"hall": "9"})
    stage.gw.restart()
    check(stage.try_raw(identity, "kept") == 0, "after kill -9 it comes in")
    check(stage.ctl("thing/describe", name="kept")["attributes"] == {"hall": "9"}, "with its attributes")
    check(stage.ctl("cert/describe", id=cert[:12])["pem"].startswith("-----BEGIN"), "and its certificate")


def what_was_answered_survives(stage, kills):
    """Changes until it is killed at some moment: what was answered is there."""
    chance = random.Random(7)
    done = {}
    for round_ in range(kills):
        timer = threading.Timer(chance.uniform(0.01, 0.3), stage.gw.process.kill)
        timer.start()
        number = 0
        try:
            while True:
                name = f"k{round_}-{number}"
                stage.ctl("thing/create", name=name, attributes={"n": str(number)})
                done[name] = str(number)
                if number % 3 == 0:
                    stage.ctl("thing/update", name=name, attributes={"n": "x"})
                    done[name] = "x"
                number += 1
        except (OSError, raw.Closed, raw.Timeout):
            pass
        timer.join()
        stage.gw.wait()
        stage.gw.start()
    found = {}
    after = None
    while True:
        page = stage.ctl("thing/list", **({"after": after} if after else {}))
        found.update({t["name"]: t["attributes"].get("n") for t in page["things"]})
        after = page.get("next")
        if not after:
            break
    check(len(done) > kills, f"only {len(done)} changes were answered")
    lost = {n: v for n, v in done.items() if found.get(n) not in (v, "x")}
    check(not lost, f"lost: {lost}")
    print(f"    {len(done)} changes answered, {kills} kills", flush=True)


def a_node_without_a_registry_is_as_before(suite):
    folder = gateway.tempfile.mkdtemp(prefix="gatehouse-e2e-")
    try:
        certificates = gateway.Certificates(folder)
        cert, key = certificates.issue("gw")
        with gateway.Gateway(suite.build, listen=(f"mqtts://127.0.0.1:0?cert={cert}&key={key}&ca={certificates.ca}",)) as gw:
            context = certificates.context("pump1")
            with raw.Client(gw.port("mqtts"), "whatever", version=5, tls=context) as client:
                check(client.subscribe("cmd/pump1/#") == [1], "its own topics")
                check(client.subscribe("cmd/pump2/#") == [0x87], "not another's")
            with open(certificates.path("pump1.pem"), encoding="ascii") as file:
                pem = file.read()
            found = gw.ctl("cert/register", json.dumps({"pem": pem}).encode())
            gw.ctl("cert/status", json.dumps({"id": found["id"], "status": "REVOKED"}).encode())
            try:
                raw.Client(gw.port("mqtts"), "whatever", version=5, tls=context).abort()
                raise RuntimeError("registered and revoked, and it comes in")
            except AssertionError as refusal:
                check("0x87" in str(refusal), f"{refusal}")
            wait_for(lambda: gw.logged("its certificate is REVOKED"), "the log says why")
    finally:
        gateway.shutil.rmtree(folder, ignore_errors=True)


def revoked_by_a_list(suite):
    folder = gateway.tempfile.mkdtemp(prefix="gatehouse-e2e-")
    try:
        certificates = gateway.Certificates(folder)
        cert, key = certificates.issue("gw")
        good, bad = certificates.context("good"), certificates.context("bad")
        config, crl = certificates.path("ca.cnf"), certificates.path("crl.pem")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index.txt\ncrlnumber={folder}/number\ndefault_md=sha256\n"
                       "default_crl_days=1\n")
        for name, text in (("index.txt", ""), ("number", "01\n")):
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(text)
        signer = ("-config", config, "-cert", certificates.ca, "-keyfile", certificates.ca_key)
        certificates.run("ca", *signer, "-gencrl", "-out", crl)

        def enters(gw, context):
            try:
                raw.Client(gw.port("mqtts"), "c", version=5, tls=context).abort()
                return True
            except (OSError, raw.Closed):
                return False
        uri = f"mqtts://127.0.0.1:0?cert={cert}&key={key}&ca={certificates.ca}&crl={crl}"
        with gateway.Gateway(suite.build, listen=(uri,)) as gw:
            check(enters(gw, good) and enters(gw, bad), "nobody is revoked")
            certificates.run("ca", *signer, "-revoke", certificates.path("bad.pem"))
            certificates.run("ca", *signer, "-gencrl", "-out", crl)
            gw.process.send_signal(gateway.signal.SIGHUP)
            wait_for(lambda: gw.logged("certificates (have been )?read again"), "reload")
            check(enters(gw, good), "who is not in the list")
            check(not enters(gw, bad), "who is")
            wait_for(lambda: gw.logged("certificate revoked"), "the log says why")
            rows = gw.ctl("audit/list", b'{"what":"refused/"}')["entries"]
            check(any("certificate revoked" in r["reason"] for r in rows), f"and the audit log: {rows}")
    finally:
        gateway.shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=6)
    options = parser.parse_args()
    if not paho:
        raise gateway.Skip("paho-mqtt for Python is not installed")
    suite = gateway.Suite(options.build)
    with gateway.Gateway(suite.build, listen=(gateway.OPEN, POLICY, POLICY_WEB)) as gw:
        stage = Stage(gw)
        for test in (a_node_of_the_own_authority_uses_its_own_topics, policies_of_several_kinds_decide,
                     another_ones_client_id_is_refused, a_will_needs_its_permission,
                     a_policy_that_changes_holds_for_who_is_connected, revoking_closes_at_once_and_keeps_out,
                     what_was_revoked_is_in_every_list_when_it_is_deleted,
                     a_foreign_certificate_is_refused_until_it_is_registered, dates_count, groups_types_and_searching,
                     who_is_there_is_known, commands_do_it, rest_asks_policies, another_authority_takes_over, restarted_it_is_all_there):
            suite.run(test.__name__.replace("_", " "), test, stage)
        suite.run("what was answered survives", what_was_answered_survives, stage, options.kills)
    suite.run("a node without a registry is as before", a_node_without_a_registry_is_as_before, suite)
    suite.run("revoked by a list of their authority", revoked_by_a_list, suite)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
