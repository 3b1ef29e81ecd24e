#!/usr/bin/env python3
"""The daemon's answers are what schema/json/ says.

    test_answers.py BUILD        ends with 77 when python3-jsonschema is not installed
"""
import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import gateway  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None

CONFIG = """
[uplink cloud]
uri = mqtt://127.0.0.1:{port}
[stream telemetry]
uplink = cloud
[stream local]
[route env]
filter = dt/#
stream = telemetry
[sync plant]
uplink = cloud
shadow = + +/cfg
"""

TEMPLATE = {"Resources": {
    "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "press"}},
    "certificate": {"Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}}}


def schemas():
    found = {}
    for path in glob.glob(os.path.join(ROOT, "schema", "json", "*.schema.json")):
        with open(path, encoding="utf-8") as file:
            found[os.path.basename(path)] = json.load(file)
    return found


def check(all_schemas, name, answer):
    schema = all_schemas[name + ".schema.json"]
    resolver = jsonschema.RefResolver("", schema, store=all_schemas)
    jsonschema.Draft202012Validator(schema, resolver=resolver).validate(answer)


def every_schema_is_one(all_schemas):
    gateway.check(len(all_schemas) >= 5, "there are schemas")
    for schema in all_schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def answers_are_as_written(gw, all_schemas):
    with gw.client("sensor") as client:
        client.publish("dt/p1/env", b"{}")
    check(all_schemas, "gateway-status", gw.ctl("gateway/status"))
    check(all_schemas, "http-status", gw.ctl("http/status"))
    streams = gw.ctl("stream/list")
    check(all_schemas, "stream-list", streams)
    gateway.check(len(streams["streams"]) == 2, "two streams are listed")
    uplinks = gw.ctl("uplink/list")
    check(all_schemas, "uplink-list", uplinks)
    gateway.check(len(uplinks["uplinks"]) == 1, "one uplink is listed")
    check(all_schemas, "sync-list", gw.ctl("sync/list"))
    gw.cli("shadow", "update", "pump", '{"reported":{"rpm":900}}')
    shadows = gw.ctl("shadow/list", b'{"limit":1000}')
    check(all_schemas, "shadow-list", shadows)
    gateway.check({"thing": "pump", "name": None, "version": 1} in shadows["shadows"], f"the pump is listed: {shadows}")
    check(all_schemas, "refusal", gw.ctl("shadow/list", b'{"limit":0}'))
    merges = gw.ctl("sync/explain", b'{"thing":"pump"}')
    check(all_schemas, "sync-explain", merges)
    gateway.check(merges["shadows"][0]["state"] == "disconnected", f"its cloud is not there: {merges}")
    check(all_schemas, "refusal", gw.ctl("sync/explain", b'{"thing":"moon"}'))
    check(all_schemas, "stream-describe", gw.ctl("stream/create", b'{"name":"made","onFull":"overwrite"}'))
    check(all_schemas, "refusal", gw.ctl("stream/create", b'{"name":"made"}'))
    check(all_schemas, "stream-describe", gw.ctl("stream/describe", b'{"name":"telemetry"}'))
    cursor = "$gatehouse/streams/telemetry/cursor"
    check(all_schemas, "stream-cursor", gw.request(cursor, b'{"cursor":"c","action":"create"}'))
    check(all_schemas, "refusal", gw.request(cursor, b'{"cursor":"c","action":"create"}'))
    check(all_schemas, "stream-read", gw.request("$gatehouse/streams/telemetry/read", b'{"cursor":"c"}'))
    check(all_schemas, "refusal", gw.request("$gatehouse/streams/telemetry/read", b'{"from":9}'))
    check(all_schemas, "stream-verify", gw.ctl("stream/verify"))
    check(all_schemas, "stream-describe", gw.ctl("stream/describe", b'{"name":"telemetry"}'))
    check(all_schemas, "template", gw.ctl("template/create", json.dumps({"name": "press", "body": json.dumps(TEMPLATE)}).encode()))
    check(all_schemas, "refusal", gw.ctl("template/create", b'{"name":"press","body":"{}"}'))
    check(all_schemas, "template", gw.ctl("template/describe", b'{"name":"press"}'))
    templates = gw.ctl("template/list")
    check(all_schemas, "template-list", templates)
    gateway.check(len(templates["templates"]) == 1, "one template is listed")
    check(all_schemas, "provisioning-status", gw.ctl("provisioning/status"))
    check(all_schemas, "stream-describe", gw.ctl("stream/update", b'{"name":"made","maxSize":"512M"}'))
    check(all_schemas, "refusal", gw.ctl("stream/update", b'{"name":"telemetry","maxSize":"512M"}'))
    exporter = gw.ctl("stream/exporter", b'{"name":"telemetry","uplink":"cloud","action":"pause"}')
    check(all_schemas, "stream-exporter", exporter)
    gateway.check(exporter["exporter"]["paused"] is True, f"it is paused: {exporter}")
    check(all_schemas, "refusal", gw.ctl("stream/exporter", b'{"name":"telemetry","uplink":"moon","action":"pause"}'))
    check(all_schemas, "refusal", gw.ctl("stream/retry", b'{"name":"telemetry"}'))
    letter = {"stream": "telemetry", "seq": 0, "time": 1, "topic": "a", "uplink": "cloud", "code": 149, "reason": "r", "payload": "1"}
    check(all_schemas, "dead-letter", letter)
    gw.ctl("stream/create", b'{"name":"dead-letters"}')
    gw.cli("stream", "append", "dead-letters", json.dumps(letter))
    retried = gw.ctl("stream/retry", b'{"name":"telemetry"}')
    check(all_schemas, "stream-retry", retried)
    gateway.check(retried["retried"] == 1, f"one letter went back: {retried}")
    for command in "uplink/cut", "uplink/restore":
        check(all_schemas, "uplink", gw.ctl(command, b'{"name":"cloud"}'))
        check(all_schemas, "refusal", gw.ctl(command, b'{"name":"moon"}'))


def the_registry_answers_as_written(gw, all_schemas):
    def ask(schema, request, **members):
        answer = gw.ctl(request, json.dumps(members).encode())
        check(all_schemas, schema, answer)
        return answer
    ask("ca", "ca/show")
    cert = ask("ca-issue", "ca/issue", name="press")["id"]
    ask("ca-list", "ca/list")
    ask("thing", "thing/create", name="valve", attributes={"hall": "7"})
    ask("thing", "thing/describe", name="press")
    ask("thing-list", "thing/search", query="thingName:*", max=1)
    ask("group", "group/create", name="site", description="all of it")
    ask("group", "group/create", name="sevens", query="attributes.hall:7")
    ask("group", "group/describe", name="sevens")
    ask("group-list", "group/list")
    ask("cert", "cert/describe", id=cert)
    ask("cert-list", "cert/list")
    ask("policy", "policy/describe", name="gatehouse-node")
    ask("policy-list", "policy/list")
    can = ask("policy-can", "policy/can", node="press", action="publish", resource="dt/press/a")
    gateway.check(can["decision"] == "ALLOWED", f"it can: {can}")
    ask("policy-can", "policy/can", node="press", action="publish", resource="other")
    ask("audit-list", "audit/list")
    for request in ("thing/describe", "group/describe", "cert/describe", "policy/describe", "policy/can"):
        ask("refusal", request)


def pairing_answers_as_written(suite, all_schemas):
    """The daemon is real, its node is who says hello with the key of a sticker."""
    port = gateway.free_port()
    with gateway.Gateway(suite.build, listen=(gateway.OPEN, f"mqtts+psk://127.0.0.1:{port}")) as gw:
        def ask(schema, request, **members):
            answer = gw.ctl(request, json.dumps(members).encode())
            check(all_schemas, schema, answer)
            return answer
        ask("pair-list", "pair/list")
        ask("node-list", "node/list")
        with gw.client("listener") as listener:
            listener.subscribe("$gatehouse/status/pairing/#")
            openssl = subprocess.Popen([gateway.find_tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-psk", "00" * 32,
                                        "-psk_identity", "pair:A7", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            check(all_schemas, "pairing-event", json.loads(listener.message().payload))
            openssl.wait(gateway.LONG)
            gateway.check(len(ask("pair-list", "pair/list")["asking"]) == 1, "one asks")
            check(all_schemas, "pairing-event", ask("pairing-event", "pair/wait", timeout=1000))
            ask("pair-window", "pair/code", serial="A7", code="QTH5-GKR5-WXFC-1V1A", thing="press-7")
            gateway.check(len(ask("pair-list", "pair/list")["waiting"]) == 1, "one waits")
            gw.ctl("pair/cancel", b'{"serial":"A7"}')
            check(all_schemas, "pairing-event", json.loads(listener.message().payload))
        for request in "pair/code", "pair/cancel", "node/approve", "node/rotate", "node/revoke", "node/re-pair":
            ask("refusal", request)


def what_is_not_as_written_is_found(all_schemas):
    for answer in {}, {"streams": [{"name": "s"}]}, {"streams": [], "more": 1}:
        try:
            check(all_schemas, "stream-list", answer)
        except jsonschema.ValidationError:
            continue
        raise AssertionError(f"{answer} passes")


def main():
    if not jsonschema:
        raise gateway.Skip("python3-jsonschema is not installed")
    suite = gateway.Suite(sys.argv[1])
    all_schemas = schemas()
    suite.run("every schema is one", every_schema_is_one, all_schemas)
    suite.run("an answer that is not as written is found", what_is_not_as_written_is_found, all_schemas)
    with gateway.Gateway(suite.build, config=CONFIG.format(port=gateway.free_port())) as gw:
        suite.run("the daemon's answers are as written", answers_are_as_written, gw, all_schemas)
        suite.run("the registry's answers are as written", the_registry_answers_as_written, gw, all_schemas)
    suite.run("pairing's answers are as written", pairing_answers_as_written, suite, all_schemas)
    return suite.end()


gateway.run(main)
