#!/usr/bin/env python3
"""boto3's client of the IoT data plane, as an administrator's script uses it.

    boto3_shadow.py URL THING [CA CERT KEY]

Goes through the shadow's requests, the list in pages, and publishing; refusals must come as the exceptions of AWS's model. Ends
with status 0, or says what was not as documented. Signatures are made with an invented key: the gateway looks at certificates.
"""
import json
import sys

import boto3
import botocore.config


def client(url, ca=None, cert=None, key=None):
    config = botocore.config.Config(client_cert=(cert, key) if cert else None, retries={"max_attempts": 0})
    return boto3.client("iot-data", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="nobody",
                        aws_secret_access_key="nothing", verify=ca, config=config)


def refused(expected, status, call, **members):
    try:
        call(**members)
    except expected as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found == status, f"expected {status}: {error.response}"
        return error.response["Error"]["Message"]
    raise AssertionError(f"expected {expected.__name__}")


def document(answer):
    return json.loads(answer["payload"].read())


def shadows(iot, thing):
    known = iot.exceptions
    said = refused(known.ResourceNotFoundException, 404, iot.get_thing_shadow, thingName=thing)
    assert "No shadow exists with name" in said, said
    made = document(iot.update_thing_shadow(thingName=thing, payload=json.dumps({"state": {"desired": {"on": True}}})))
    assert made["version"] == 1 and "clientToken" not in made, made
    stale = json.dumps({"state": {}, "version": 7})
    said = refused(known.ConflictException, 409, iot.update_thing_shadow, thingName=thing, payload=stale)
    assert said == "Version conflict", said
    refused(known.InvalidRequestException, 400, iot.update_thing_shadow, thingName=thing, payload="{}")
    large = json.dumps({"state": {"desired": {"a": "x" * 9000}}})
    refused(known.RequestEntityTooLargeException, 413, iot.update_thing_shadow, thingName=thing, payload=large)
    found = document(iot.get_thing_shadow(thingName=thing))
    assert found["state"] == {"desired": {"on": True}, "delta": {"on": True}}, found
    assert document(iot.delete_thing_shadow(thingName=thing))["version"] == 1
    refused(known.ResourceNotFoundException, 404, iot.delete_thing_shadow, thingName=thing)


def named(iot, thing):
    names = [f"n:{i}" for i in range(5)]
    for name in names:
        iot.update_thing_shadow(thingName=thing, shadowName=name, payload=json.dumps({"state": {"reported": {"a": 1}}}))
    found, more = [], {}
    while True:
        page = iot.list_named_shadows_for_thing(thingName=thing, pageSize=2, **more)
        found += page["results"]
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    assert found == names, found
    for name in names:
        iot.delete_thing_shadow(thingName=thing, shadowName=name)
    assert iot.list_named_shadows_for_thing(thingName=thing)["results"] == []


def publishing(iot, thing):
    for qos in (0, 1):
        iot.publish(topic=f"dt/{thing}/env", qos=qos, payload=f"from boto3 {qos}")
    iot.publish(topic=f"dt/{thing}/kept", qos=1, retain=True, payload="stays")
    try:
        iot.publish(topic="a/#", qos=0, payload="x")
    except iot.exceptions.InvalidRequestException:
        return
    raise AssertionError("a topic with a wildcard is taken")


def main():
    url, thing, *tls = sys.argv[1:]
    iot = client(url, *tls)
    shadows(iot, thing)
    named(iot, thing)
    publishing(iot, thing)


if __name__ == "__main__":
    main()
