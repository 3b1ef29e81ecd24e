#!/usr/bin/python3
"""How a device that nobody knows becomes one that may talk: fleet provisioning with Paho and with the AWS IoT Device SDK, from
nothing to the first telemetry; certificates of a foreign authority; and everything that is refused, with its reason.

    tests/e2e/test_provisioning.py BUILD [--kills N] [--seed N]

aws-iot-device-sdk-v2 comes from the package registry into BUILD/npm/aws2, once; without npm or the registry it is skipped.
"""
import argparse
import fcntl
import json
import os
import random
import ssl
import subprocess
import threading
import time

import gateway
import raw
import test_identity
from gateway import Skip, check, wait_for
from test_identity import Device, Stage, allow, policy

POLICY = "mqtts://127.0.0.1:0?access=policy"
SDK = "aws-iot-device-sdk-v2"
HERE = os.path.dirname(os.path.abspath(__file__))
TOPICS = ("$aws/certificates/create/*", "$aws/certificates/create-from-csr/*", "$aws/provisioning-templates/press/provision/*")

CLAIM = policy(allow("iot:Connect", "client/*"),
               allow(["iot:Publish", "iot:Receive"], *("topic/" + t for t in TOPICS)),
               allow("iot:Subscribe", *("topicfilter/" + t for t in TOPICS)))

CERTIFICATE = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}
NODE = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": policy(
    allow("iot:Connect", "client/${iot:Connection.Thing.ThingName}"),
    allow("iot:Publish", "topic/dt/${iot:Connection.Thing.ThingName}/*"))}}
PRESS = {"Parameters": {"SerialNumber": {"Type": "String"}, "Site": {"Type": "String", "Default": "lab"}},
         "Mappings": {"Broker": {"lab": {"Host": "10.0.0.5"}, "plant1": {"Host": "10.1.0.5"}}},
         "Resources": {
             "thing": {"Type": "AWS::IoT::Thing", "Properties": {
                 "ThingName": {"Fn::Join": ["-", ["press", {"Ref": "SerialNumber"}]]},
                 "AttributePayload": {"site": {"Ref": "Site"}}}},
             "certificate": CERTIFICATE, "policy": NODE},
         "DeviceConfiguration": {"broker": {"Fn::FindInMap": ["Broker", {"Ref": "Site"}, "Host"]}}}
FOREIGN = {"Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}},
           "Resources": {"certificate": CERTIFICATE, "policy": NODE,
                         "thing": {"Type": "AWS::IoT::Thing", "Properties": {
                             "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}}}}


class Floor(Stage):
    """Stage with claims, templates and requests."""

    def __init__(self, gw):
        super().__init__(gw)
        self.template("press", PRESS)
        self.claim, _ = self.issue_with("claim", CLAIM)

    def template(self, name, body, *settings):
        path = self.write(name + ".json", json.dumps(body, indent=1))
        return self.gw.cli("template", "create", name, path, *settings)

    def request(self, name="device"):
        """A key that stays here, and a request to sign it."""
        key, csr = os.path.join(self.folder, name + "-own.key"), os.path.join(self.folder, name + ".csr")
        done = subprocess.run([gateway.find_tool("openssl"), "req", "-new", *gateway.Certificates.new_key(key), "-subj",
                               f"/CN={name}", "-out", csr], capture_output=True, check=False)
        check(done.returncode == 0, f"openssl: {done.stderr}")
        with open(csr, encoding="ascii") as file:
            return key, file.read()


def ask(device, topic, document):
    """What came back: (True, accepted) or (False, rejected)."""
    for end in ("accepted", "rejected"):
        check(device.subscribe(f"{topic}/{end}") in ([0], [1]), f"{topic}/{end} may be subscribed to")
    before = len(device.messages)
    device.publish(topic, json.dumps(document))
    wait_for(lambda: len(device.messages) > before, f"{topic} is answered")
    found, payload = device.messages[before]
    return found.endswith("/accepted"), json.loads(payload)


def provision(device, serial, csr=None, **more):
    """The certificate, and what it was provisioned as."""
    good, made = ask(device, "$aws/certificates/create-from-csr/json", {"certificateSigningRequest": csr}) if csr \
        else ask(device, "$aws/certificates/create/json", {})
    check(good, f"a certificate: {made}")
    good, thing = ask(device, "$aws/provisioning-templates/press/provision/json",
                      {"certificateOwnershipToken": made["certificateOwnershipToken"],
                       "parameters": {"SerialNumber": serial, **more}})
    check(good, f"a thing: {thing}")
    return made, thing


def response_topic(packet):
    """Of a PUBLISH: its only property but a subscription identifier, which was not asked for [MQTT 5, 3.3.2.3.5]."""
    at = packet.body.index(b"\x08", 2 + (packet.body[0] << 8 | packet.body[1]))
    size = packet.body[at + 1] << 8 | packet.body[at + 2]
    return packet.body[at + 3:at + 3 + size].decode()


def hears(stage, topic):
    """A client that may hear everything."""
    listener = raw.Client(os.path.join(stage.gw.runtime, "control.sock"), version=5)
    listener.subscribe(topic)
    return listener


def from_unknown_to_telemetry_from_a_request(stage):
    begin = time.monotonic()
    key, csr = stage.request()
    with Device(stage, stage.claim, "claim-0042") as claimant:
        made, thing = provision(claimant, "0042", csr, Site="plant1")
    check(thing == {"deviceConfiguration": {"broker": "10.1.0.5"}, "thingName": "press-0042"}, f"{thing}")
    check("privateKey" not in made, "the key stays with the device")
    own = stage.write("0042.pem", made["certificatePem"]), key
    with hears(stage, "dt/#") as listener, Device(stage, own, "press-0042") as device:
        device.publish("dt/press-0042/temp", "21")
        check(listener.message().payload == b"21", "the first telemetry")
    check(time.monotonic() - begin < 60, "in less than a minute")
    described = stage.ctl("cert/describe", id=made["certificateId"])
    check(described["status"] == "ACTIVE" and described["things"][0] in ("press-0042", {"name": "press-0042", "exclusive": False}),
          f"{described}")


def a_key_is_made_for_who_has_none_and_only_he_hears_of_it(stage):
    with hears(stage, "$aws/#") as listener, Device(stage, stage.claim, "a") as one, Device(stage, stage.claim, "b") as other:
        other.subscribe("$aws/certificates/create/json/accepted")
        made, thing = provision(one, "0043")
        check(thing["deviceConfiguration"] == {"broker": "10.0.0.5"}, f"{thing}")
        check(not other.messages, f"somebody else with the same claim hears nothing: {other.messages}")
        own = stage.write("0043.pem", made["certificatePem"]), stage.write("0043.key", made["privateKey"])
        with Device(stage, own, "press-0043"):
            pass
        stage.gw.cli("pub", "$aws/end", "x")
        heard = []
        while "$aws/end" not in heard:
            heard.append(listener.message().topic)
        answers = [t for t in heard if t.endswith("/accepted") and not t.startswith("$aws/things/")]  # the gateway's own shadow
        check(not answers, f"nor the operator: {answers}")


def a_key_is_on_no_disk(stage):
    """Though the claimant's session is kept, and subscribed with QoS 1: there when it is answered, or away."""
    topic, context = "$aws/certificates/create/json", ssl.create_default_context(cafile=stage.ca)
    context.load_cert_chain(*stage.claim)

    def made():
        return len(stage.gw.ctl("cert/list")["certificates"])
    with raw.Client(stage.gw.port("mqtts"), "kept", tls=context, clean=False) as device:
        device.subscribe(topic + "/accepted")
        device.publish(topic, "{}")
        check("privateKey" in json.loads(device.message().payload), "who is there has it")
        before = made()
        device.send(raw.publish(topic, b"{}", 1, 100) + raw.packet(raw.DISCONNECT, 0, b""))
    wait_for(lambda: made() > before, "a certificate is made while its claimant is away")
    with raw.Client(stage.gw.port("mqtts"), "kept", tls=context, clean=False) as device:
        check(device.connack.session_present, "the session was kept")
        device.publish("$aws/certificates/create-from-csr/json", "{}")
        device.ping()
        check(not device.messages, f"who was not there has not: {device.messages}")
    for folder, _, names in os.walk(stage.gw.state):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                check(name.endswith(".key") or b"PRIVATE KEY" not in file.read(), f"a key is in {folder}/{name}")


def what_is_wrong_is_said_and_noted(stage):
    key, csr = stage.request("negative")
    create, register = "$aws/certificates/create-from-csr/json", "$aws/provisioning-templates/press/provision/json"
    with Device(stage, stage.claim, "negative") as device:
        for topic, document, code in (
                (create, {"certificateSigningRequest": csr.replace("A", "B", 3)}, "InvalidCertificateSigningRequest"),
                (create, {}, "InvalidPayload"),
                (register, {"certificateOwnershipToken": "none"}, "InvalidCertificateOwnershipToken"),
                (register, {"certificateOwnershipToken": ""}, "InvalidCertificateOwnershipToken")):
            good, answer = ask(device, topic, document)
            check(not good and answer["errorCode"] == code, f"{topic} {document}: {answer}")
        _, made = ask(device, create, {"certificateSigningRequest": csr})
        good, answer = ask(device, register, {"certificateOwnershipToken": made["certificateOwnershipToken"]})
        check(not good and answer["errorCode"] == "InvalidParameters", f"{answer}")
        # Its certificate waits: nobody comes in with it.
        own = stage.write("negative.pem", made["certificatePem"]), key
        check(stage.try_raw(own, "press-negative") != 0, "a certificate that waits lets nobody in")
        stage.audited("refused/provision", "unknown, expired")
        stage.audited("refused/connect", made["certificateId"])
        # Somebody else's token.
        other, _ = stage.issue_with("other-claim", CLAIM)
        with Device(stage, other, "thief") as thief:
            good, answer = ask(thief, register, {"certificateOwnershipToken": made["certificateOwnershipToken"],
                                                 "parameters": {"SerialNumber": "9"}})
            check(not good and answer["errorCode"] == "InvalidCertificateOwnershipToken", f"{answer}")
        stage.gw.cli("template", "disable", "press")
        good, answer = ask(device, register, {"certificateOwnershipToken": made["certificateOwnershipToken"],
                                              "parameters": {"SerialNumber": "9"}})
        check(not good and answer["errorCode"] == "AccessDenied", f"{answer}")
        stage.gw.cli("template", "enable", "press")
    wait_for(lambda: stage.gw.logged(r"provisioning: .* is refused: InvalidParameters"), "the log says so")


def a_claim_may_do_nothing_else(stage):
    with Device(stage, stage.claim, "greedy") as device:
        check(device.subscribe("dt/#")[0] >= 0x80, "it hears nothing")
        check(device.subscribe("$aws/provisioning-templates/other/provision/json/accepted")[0] >= 0x80, "nor of other templates")
        with hears(stage, "dt/#") as listener:
            device.publish("dt/press-0042/temp", "1")
            stage.gw.cli("pub", "dt/end", "x")
            check(listener.message().topic == "dt/end", "it says nothing")
    with Device(stage, stage.claim, "forger") as device, hears(stage, "$aws/certificates/#") as listener:
        device.publish("$aws/certificates/create/json/accepted", '{"certificateId":"mine"}')
        stage.gw.cli("pub", "$aws/certificates/end", "x")
        check(listener.message().topic == "$aws/certificates/end", "nor does it answer in place of the gateway")


def a_device_is_refused_with_another_ones_client_id(stage):
    with Device(stage, stage.claim, "c") as claimant:
        made, _ = provision(claimant, "0044")
    own = stage.write("0044.pem", made["certificatePem"]), stage.write("0044.key", made["privateKey"])
    check(stage.try_raw(own, "press-0044") == 0, "with its own it comes in")
    check(stage.try_raw(own, "press-0042") != 0, "with another one's it does not")
    stage.ctl("cert/status", id=made["certificateId"], status="REVOKED")
    check(stage.try_raw(own, "press-0044") != 0, "revoked, it does not")
    stage.audited("refused/", "REVOKED")


def a_hook_decides(stage):
    stage.template("press", PRESS, "hook=gate", "replace=yes")
    with raw.Client(os.path.join(stage.gw.runtime, "control.sock"), version=5) as hook:
        hook.subscribe("$gatehouse/provisioning/hooks/gate")
        answers = [{"allowProvisioning": False}, {"allowProvisioning": True, "parameterOverrides": {"Site": "plant1"}}]
        asked = []

        def serve():
            for answer in answers:
                packet = hook.expect(raw.PUBLISH)
                asked.append(json.loads(packet.message().payload))
                hook.publish(response_topic(packet), json.dumps(answer).encode())

        thread = threading.Thread(target=serve)
        thread.start()
        with Device(stage, stage.claim, "claim-hooked") as device:
            _, made = ask(device, "$aws/certificates/create/json", {})
            document = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"SerialNumber": "0045"}}
            good, answer = ask(device, "$aws/provisioning-templates/press/provision/json", document)
            check(not good and answer["errorCode"] == "AccessDenied", f"{answer}")
            good, answer = ask(device, "$aws/provisioning-templates/press/provision/json", document)
            check(good and answer["deviceConfiguration"] == {"broker": "10.1.0.5"}, f"{answer}")
        thread.join()
    check(asked[0]["clientId"] == "claim-hooked" and asked[0]["parameters"] == {"SerialNumber": "0045"}, f"{asked}")
    with Device(stage, stage.claim, "claim-unhooked") as device:
        _, made = ask(device, "$aws/certificates/create/json", {})
        good, answer = ask(device, "$aws/provisioning-templates/press/provision/json",
                           {"certificateOwnershipToken": made["certificateOwnershipToken"],
                            "parameters": {"SerialNumber": "0046"}})
        check(not good and "is not there" in answer["errorMessage"], f"{answer}")
    stage.template("press", PRESS, "replace=yes")


def a_foreign_authority_brings_its_devices(stage):
    foreign = gateway.Certificates(stage.folder, "foreign")
    device, stranger = foreign.issue("valve-1"), gateway.Certificates(stage.folder, "stranger").issue("valve-1")
    check(stage.try_raw(device, "valve-1") != 0, "nobody knows its authority")
    stage.template("plant", FOREIGN, "type=JITP")
    stage.gw.cli("ca", "register", foreign.ca, "template=plant", status=1) # without a proof
    code = stage.gw.cli("ca", "code").strip()
    wrong, _ = foreign.issue("something")
    stage.gw.cli("ca", "register", foreign.ca, "verification=" + wrong, "template=plant", status=1)
    proof, _ = foreign.issue(code)
    stage.gw.cli("ca", "register", foreign.ca, "verification=" + proof, "template=plant")
    with hears(stage, "$aws/events/certificates/registered/+") as listener:
        check(stage.try_raw(device, "valve-1") != 0, "the first time it is only registered")
        event = json.loads(listener.message().payload)
    check(event["certificateStatus"] == "PENDING_ACTIVATION", f"{event}")
    with hears(stage, "dt/#") as listener, Device(stage, device, "valve-1") as valve:
        valve.publish("dt/valve-1/temp", "3")
        check(listener.message().payload == b"3", "the second time it talks")
    check(stage.ctl("thing/describe", name="valve-1")["name"] == "valve-1", "it is a thing")
    check(stage.try_raw(stranger, "valve-1") != 0, "the same name of another authority is nobody")
    # Names that can be no thing's: it waits, and the reason is noted.
    check(stage.try_raw(foreign.issue("valve 2"), "valve2") != 0, "refused")
    check(stage.try_raw(foreign.issue("valve 2"), "valve2") != 0, "and refused")
    stage.audited("refused/provision", "valve 2")
    # An authority that is not active brings nobody new, and keeps whom it has.
    stage.ctl("ca/update", id=event["caCertificateId"], active=False)
    check(stage.try_raw(foreign.issue("valve-3"), "valve-3") != 0, "no new ones")
    check(stage.try_raw(device, "valve-1") == 0, "who is there stays")


def need_sdk(build):
    node, npm = gateway.find_tool("node"), gateway.find_tool("npm")
    folder = os.path.join(build, "npm", "aws2")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(os.path.join(folder, "node_modules", SDK)):
            done = subprocess.run([npm, "install", "--prefix", folder, SDK + "@1", "--no-audit", "--no-fund", "--ignore-scripts"],
                                  capture_output=True, text=True, timeout=180, check=False)
            if done.returncode:
                raise Skip(f"npm install {SDK}@1: {done.stderr.strip().splitlines()[-1:]}")
    environment = os.environ | {"NODE_PATH": os.path.join(folder, "node_modules")}
    done = subprocess.run([node, "-e", f"require('{SDK}')"], capture_output=True, check=False, text=True, env=environment)
    if done.returncode:
        raise Skip(f"{SDK} cannot be loaded: {done.stderr.strip().splitlines()[-1:]}")
    return node, environment


def the_aws_iot_device_sdk_provisions_itself(stage, build):
    node, environment = need_sdk(build)
    key, csr = stage.request("sdk")
    csr_path = stage.write("sdk-request.csr", csr)
    for serial, more in (("0101", [csr_path]), ("0102", [])):
        done = subprocess.run([node, os.path.join(HERE, "clients", "fleet.cjs"), "127.0.0.1", str(stage.gw.port("mqtts")),
                               stage.ca, *stage.claim, "press", json.dumps({"SerialNumber": serial}), *more],
                              capture_output=True, text=True, timeout=raw.LONG, check=False, env=environment)
        found = json.loads(done.stdout or '{"error":"nothing"}')
        check("error" not in found, f"{found} {done.stderr}")
        check(found["thing"] == "press-" + serial and found["configuration"] == {"broker": "10.0.0.5"}, f"{found}")
        own = stage.write(serial + ".pem", found["certificate"]), \
            key if more else stage.write(serial + ".key", found["key"])
        check(stage.try_raw(own, "press-" + serial) == 0, "it comes in with what it got")


# ---- kill -9 ------------------------------------------------------------------------------------------------------------


def drill(gw, promised, serials, stop):
    """One claimant after the other, until the gateway is gone. promised: what was accepted."""
    try:
        with raw.Client(gw.port("mqtt"), "drill", version=5) as client:
            client.subscribe("$aws/certificates/create/json/accepted")
            client.subscribe("$aws/provisioning-templates/press/provision/json/accepted")
            while not stop.is_set():
                serial = next(serials)
                client.send(raw.publish("$aws/certificates/create/json", b"", version=5))
                made = json.loads(client.message(5).payload)
                promised["made"].append(made["certificateId"])
                client.send(raw.publish("$aws/provisioning-templates/press/provision/json", json.dumps(
                    {"certificateOwnershipToken": made["certificateOwnershipToken"],
                     "parameters": {"SerialNumber": str(serial)}}).encode(), version=5))
                thing = json.loads(client.message(5).payload)
                promised["provisioned"].append((made["certificateId"], thing["thingName"]))
    except (OSError, raw.Closed, raw.Timeout, AssertionError):
        pass


def what_was_accepted_survives_kill_nine(build, kills, seed):
    print(f"    seed {seed}", flush=True)
    choices, serials = random.Random(seed), iter(range(1, 1000000))
    with gateway.Gateway(build) as gw:
        stage = Stage(gw)
        path = stage.write("press.json", json.dumps(PRESS))
        gw.cli("template", "create", "press", path)
        promised = {"made": [], "provisioned": []}
        for _ in range(kills):
            stop = threading.Event()
            thread = threading.Thread(target=drill, args=(gw, promised, serials, stop))
            thread.start()
            seen = len(promised["provisioned"])
            wait_for(lambda: len(promised["provisioned"]) > seen, "somebody is provisioned", pause=0.001)
            time.sleep(choices.random() * 0.05)
            gw.kill()
            stop.set()
            thread.join()
            gw.start()
        check(gw.ctl("template/list")["templates"][0]["name"] == "press", "the template is there")
        things = {}
        for certificate, thing in promised["provisioned"]:
            found = gw.ctl("cert/describe", json.dumps({"id": certificate}).encode())
            check(found.get("status") == "ACTIVE" and len(found["policies"]) == 1 and len(found["things"]) == 1,
                  f"{certificate} was accepted as {thing}: {found}")
            things[thing] = certificate
        for certificate in promised["made"]:
            found = gw.ctl("cert/describe", json.dumps({"id": certificate}).encode())
            check(found.get("status") in ("ACTIVE", "PENDING_ACTIVATION"), f"{certificate} was accepted: {found}")
            check(len(found["things"]) == len(found["policies"]) == (found["status"] == "ACTIVE"), f"all or nothing: {found}")
        after, listed = None, []
        while True:
            page = gw.ctl("thing/list", json.dumps({"after": after} if after else {}).encode())
            listed += page["things"]
            after = page.get("next")
            if not after:
                break
        for thing in listed:
            described = gw.ctl("thing/describe", json.dumps({"name": thing["name"]}).encode())
            check(len(described["principals"]) == 1, f"no thing is without its certificate: {described}")
        print(f"    {len(promised['provisioned'])} devices were provisioned, {len(listed)} things are there", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    if not test_identity.paho:
        raise Skip("paho.mqtt for Python is not installed")
    suite = gateway.Suite(options.build)
    with gateway.Gateway(options.build, listen=(POLICY,)) as gw:
        stage = Floor(gw)
        for test in (from_unknown_to_telemetry_from_a_request, a_key_is_made_for_who_has_none_and_only_he_hears_of_it, a_key_is_on_no_disk,
                     what_is_wrong_is_said_and_noted, a_claim_may_do_nothing_else,
                     a_device_is_refused_with_another_ones_client_id, a_hook_decides, a_foreign_authority_brings_its_devices):
            suite.run(test.__name__.replace("_", " "), test, stage)
        suite.run("the AWS IoT Device SDK provisions itself", the_aws_iot_device_sdk_provisions_itself, stage, options.build)
    suite.run("what was accepted survives kill -9", what_was_accepted_survives_kill_nine, options.build, options.kills,
              options.seed)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
