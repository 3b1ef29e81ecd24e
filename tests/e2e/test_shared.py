#!/usr/bin/python3
"""Shared subscriptions whose members may not have the same: nothing is given to who may not have it, nothing is lost to who may.

    tests/e2e/test_shared.py BUILD
"""
import ssl
import sys

import gateway
import raw
from gateway import check, wait_for
from test_identity import POLICY, Device, Stage, deny, paho, policy


def what_one_who_shares_may_not_have_another_gets(stage):
    open_to_all = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    outsider, _ = stage.issue_with("outsider", policy(open_to_all, deny("iot:Receive", "topic/shared/secret/*")))
    insider, _ = stage.issue_with("insider", policy(open_to_all))
    with Device(stage, outsider, "outsider") as first:
        check(first.subscribe("$share/g/shared/#") == [1], "shares")
        with Device(stage, insider, "insider") as second:
            check(second.subscribe("$share/g/shared/#") == [1], "shares, too")
            for n in range(6):
                stage.gw.cli("pub", f"shared/secret/{n}", "x")
            wait_for(lambda: len(second.messages) == 6, "all are somebody's who may have them")
            for n in range(2):
                stage.gw.cli("pub", f"shared/{n}", "x")
            wait_for(lambda: len(first.messages) == 1 and len(second.messages) == 7, "of others each gets his share")
            check(first.messages[0][0] in ("shared/0", "shared/1"), f"{first.messages}")

    def come(name, identity, clean):
        context = ssl.create_default_context(cafile=stage.ca)
        context.load_cert_chain(*identity)
        return raw.Client(stage.gw.port("mqtts"), name, tls=context, clean=clean)

    with come("outsider", outsider, False) as first:
        first.subscribe("$share/h/shared/#")
        first.disconnect()
    with stage.gw.client("writer") as writer:
        writer.publish("shared/secret/late", "x")  # nobody knows what he will be allowed who is away
    with come("insider", insider, True) as second:
        second.subscribe("$share/h/shared/#")
        with come("outsider", outsider, False) as first:
            check(second.message().topic == "shared/secret/late", "what waited for one who may not have it is passed on")
            first.ping()
            check(not first.messages, f"and not given to him: {first.messages}")
    come("outsider", outsider, True).disconnect()


def main():
    if not paho:
        raise gateway.Skip("paho-mqtt for Python is not installed")
    suite = gateway.Suite(sys.argv[1])
    with gateway.Gateway(suite.build, listen=(gateway.OPEN, POLICY)) as gw:
        suite.run("what one who shares may not have another gets", what_one_who_shares_may_not_have_another_gets, Stage(gw))
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
