#!/usr/bin/python3
"""The reference's examples of policies, asked over MQTT: every block of tests/identity/policy_examples.json whose context a
connection can have is a certificate with these policies at one gateway, and each of its requests is made by a client that
comes with it.

    tests/e2e/test_policies.py BUILD

What the evaluator alone decides is in tests/identity; this shows that packets are asked about as it is. What cannot be asked
over MQTT is passed over: requests of HTTP and of other services, addresses that we do not have, certificates with other
subjects, wills (their topics are asked about, too), and situations that are not in the policies.
"""
import json
import os
import sys

import gateway
import raw
from gateway import check
from test_identity import POLICY, Stage, allow, policy

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "identity", "policy_examples.json")
LEAST = 75  # of the 113
ME, FENCE = "harness", "harness/fence"
REFUSED = 0x87
# Of a connection by MQTT and a certificate of the gateway's authority, as far as they can be brought about.
KNOWN = {"iot:ClientId", "iot:Connection.Thing.ThingName", "iot:Connection.Thing.ThingTypeName", "iot:Connection.Thing.IsAttached",
         "iot:ConnectAttributes"}


def is_known(block):
    context = block["context"]
    return all(key in KNOWN or key.startswith("iot:Connection.Thing.Attributes[") for key in context) \
        and "LastWill" not in context.get("iot:ConnectAttributes", [])


class Block:
    """A certificate with the policies of a block. connects: besides, it may connect and listen to what the test needs."""

    def __init__(self, stage, number, block):
        self.stage, self.context = stage, block["context"]
        self.policies = []
        for i, statements in enumerate(block["policies"]):
            name = f"example-{number}-{i}"
            stage.ctl("policy/create", name=name, document={"Version": "2012-10-17", "Statement": statements})
            self.policies.append(name)
        first = lambda key, other: self.context.get(key, [other])[0]
        self.thing = first("iot:Connection.Thing.ThingName", f"example-{number}")
        self.client_id = first("iot:ClientId", ME)
        self.is_attached = first("iot:Connection.Thing.IsAttached", "true") == "true"
        attributes = {key[len("iot:Connection.Thing.Attributes["):-1]: value[0] for key, value in self.context.items()
                      if "Attributes[" in key}
        kind = first("iot:Connection.Thing.ThingTypeName", None)
        if kind:
            stage.gw.ctl("type/create", json.dumps({"name": kind}).encode())
        if self.thing != f"example-{number}":
            stage.gw.ctl("thing/delete", json.dumps({"name": self.thing}).encode())
        members = {"type": kind} if kind else {}
        stage.ctl("thing/create", name=self.thing, attributes=attributes, **members)
        self.bare, self.id = stage.issue(self.thing)
        stage.ctl("policy/detach", name="gatehouse-node", target=self.id)
        for name in self.policies:
            stage.ctl("policy/attach", name=name, target=self.id)
        if not self.is_attached:
            stage.ctl("thing/detach", name=self.thing, principal=self.id)
        self.may_connect = False

    def end(self):
        """Somebody else may be the thing of that name."""
        if self.is_attached:
            self.stage.ctl("thing/detach", name=self.thing, principal=self.id)

    def help(self, name):
        """Policies of the test, beside those of the block."""
        self.stage.ctl("policy/attach", name=name, target=self.id)

    def tls(self):
        context = gateway.ssl.create_default_context(cafile=self.stage.ca)
        context.load_cert_chain(*self.bare)
        return context

    def client(self, client_id=None):
        persistent = "PersistentConnect" in self.context.get("iot:ConnectAttributes", [])
        return raw.Client(self.stage.gw.port("mqtts"), self.client_id if client_id is None else client_id, version=5,
                          tls=self.tls(), clean=not persistent)


def decision(code):
    return "DENY" if code == REFUSED else "ALLOWED" if code < 0x80 else hex(code)


def try_connect(block, client_id):
    try:
        block.client(client_id).disconnect()
        return "ALLOWED"
    except AssertionError as refusal:
        return decision(int(str(refusal).rsplit("0x", 1)[1], 16))


def try_publish(client, topic, retain):
    found = decision(client.publish(topic, "" if retain else "x", 1, retain))
    return found


def try_subscribe(client, topic_filter):
    return decision(client.subscribe(topic_filter)[0])


def try_receive(client, operator, topic):
    """Whoever may subscribe to it and not receive it hears nothing of it: the fence behind it comes alone."""
    wide = topic.split("/", 1)[0] + "/#"  # where the topic itself is denied to subscribers
    if not any(client.subscribe(topic_filter)[0] < 0x80 for topic_filter in (topic, wide)):
        return None
    check(client.subscribe(FENCE)[0] < 0x80, "the test's own policy lets it subscribe")
    operator.publish(topic, "x")
    operator.publish(FENCE, "x")
    heard = []
    while FENCE not in heard:
        heard.append(client.message().topic)
    return "ALLOWED" if topic in heard else "DENY"


def ask(block, operator, action, resource):
    """The decision, or None: it cannot be asked so."""
    kind, _, name = resource.partition("/")
    if action == "Connect" and kind == "client" and "iot:ClientId" not in block.context or \
            action == "Connect" and name == block.client_id:
        return try_connect(block, name)
    if action == "Connect" or action not in ("Publish", "RetainPublish", "Subscribe", "Receive"):
        return None
    if not block.may_connect:
        block.help("harness-connect")
        block.may_connect = True
    with block.client() as client:
        if action == "Subscribe":
            return try_subscribe(client, name)
        if action == "Receive":
            block.help("harness-subscribe")
            return try_receive(client, operator, name)
        if any(c in name for c in "+#"):
            return None
        return try_publish(client, name, action == "RetainPublish")


def over_mqtt(stage, blocks, numbers):
    stage.ctl("policy/create", name="harness-connect", document=policy(allow("iot:Connect", "client/*")))
    stage.ctl("policy/create", name="harness-subscribe", document=policy(allow("iot:Subscribe", "topicfilter/*"),
                                                                         allow("iot:Receive", "topic/" + FENCE)))
    wrong = []
    with raw.Client(stage.gw.port("mqtt"), "operator", version=5) as operator:
        for number, block in enumerate(blocks):
            made = Block(stage, number, block)
            # Connections first: they are asked about with the block's policies alone.
            for example, action, resource, expected in sorted(block["requests"], key=lambda r: (r[1] != "Connect", r[1] == "Receive")):
                found = ask(made, operator, action, resource)
                if found is None:
                    continue
                numbers.add(example)
                if found != ("ALLOWED" if expected == "ALLOWED" else "DENY"):
                    wrong.append(f"{block['title']}, {example}: {action} on {resource}: {found}, expected {expected}")
            made.end()
    check(not wrong, "\n".join(wrong))


def authorities_and_policies_have_events(stage):
    foreign = gateway.Certificates(stage.folder, "heard")
    with stage.gw.client("watcher") as watcher:
        watcher.subscribe("$aws/events/caCertificate/#", "$aws/events/policy/#")
        stage.ctl("policy/create", name="heard", document=policy(allow("iot:Connect", "client/x")))
        stage.ctl("group/create", name="heard")
        stage.ctl("policy/attach", name="heard", target="thinggroup/heard")
        stage.ctl("policy/detach", name="heard", target="thinggroup/heard")
        stage.ctl("policy/delete", name="heard")
        with open(foreign.ca, encoding="ascii") as file:
            ca = stage.ctl("ca/register", pem=file.read())["id"]
        stage.ctl("ca/update", id=ca, active=False)
        stage.ctl("ca/delete", id=ca)
        seen = [(m.topic, json.loads(m.payload)) for m in (watcher.message() for _ in range(7))]
    check([topic for topic, _ in seen] == [f"$aws/events/policy/heard/{what}" for what in ("created", "added", "removed", "deleted")] +
          [f"$aws/events/caCertificate/{ca}/{what}" for what in ("created", "updated", "deleted")], f"events: {seen}")
    check(seen[1][1]["target"] == "thinggroup/heard" and seen[1][1]["operation"] == "ADDED", f"attached: {seen[1]}")
    check(seen[5][1]["status"] == "INACTIVE", f"a status: {seen[5]}")


def things_from_a_file(stage):
    gw = stage.gw
    lines = [{"name": f"bulk-{i}", "attributes": {"hall": "9"}, "groups": ["bulk"]} for i in range(3)]
    path = stage.write("bulk.jsonl", "\n".join([json.dumps(line) for line in lines] + ["", '{"name":"bulk-3","colour":"red"}', "{"]))
    gw.cli("group", "create", "bulk")
    check(gw.cli("--json", "thing", "import", path, status=1) == '{"imported":3,"refused":2}\n', "what is good is imported")
    check(gw.cli("thing", "import", path, status=1).startswith("3 things are imported"), "and again")
    check(stage.ctl("group/describe", name="bulk")["things"] == ["bulk-0", "bulk-1", "bulk-2"], "into their group")


def main():
    suite = gateway.Suite(sys.argv[1])
    with open(EXAMPLES, encoding="utf-8") as file:
        blocks = [block for block in json.load(file) if is_known(block)]
    numbers = set()
    with gateway.Gateway(suite.build, listen=(gateway.OPEN, POLICY)) as gw:
        stage = Stage(gw)
        suite.run("changes of authorities and policies are said", authorities_and_policies_have_events, stage)
        suite.run("things come from a file", things_from_a_file, stage)
        suite.run("packets are decided about as the reference's examples say", over_mqtt, stage, blocks, numbers)
        suite.run(f"{len(numbers)} of the 113 examples were asked, {LEAST} at least", check, len(numbers) >= LEAST, "expected more")
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
