#!/usr/bin/python3
"""Uplinks whose settings change while the daemon runs, gateways that take from one broker what they send there, and a clock that
nobody has set.

    tests/e2e/test_uplink_settings.py BUILD
"""
import glob
import signal
import subprocess
import sys
import tempfile

import gateway
from gateway import check, wait_for

UPLINK = """
[uplink {name}]
uri = mqtt://127.0.0.1:{port}
client-id = {id}
"""
STREAM = """
[stream s]
uplink = cloud
"""


def state(gw, name):
    return next((u["state"] for u in gw.ctl("uplink/list")["uplinks"] if u["name"] == name), "not there")


def is_up(gw, name):
    wait_for(lambda: state(gw, name) == "up", f"uplink {name} is up")


def reload(gw, line):
    """Waits for what the log says of it."""
    before = sum(line in entry for entry in list(gw.log))
    gw.process.send_signal(signal.SIGHUP)
    wait_for(lambda: sum(line in entry for entry in list(gw.log)) > before, f"the log says \"{line}\"")


def connections(gw, name):
    return sum(f"uplink {name}: connected" in entry for entry in list(gw.log))


def settings_change(build, cloud):
    first = UPLINK.format(name="cloud", port=cloud.port, id="first")
    with gateway.Gateway(build, first + STREAM) as gw, gw.client("node") as node:
        ear = gateway.Ear(cloud.port, "streams/s", name="settings-ear")
        is_up(gw, "cloud")
        numbers = iter(range(1, 1000))

        def append(count):
            for number in [next(numbers) for _ in range(count)]:
                check(node.publish("$gatehouse/streams/s/append", str(number)) < 0x80, "records are taken")

        append(10)
        # As it was, and another one beside it.
        gw.write_config(first + STREAM + UPLINK.format(name="second", port=cloud.port, id="second"))
        reload(gw, "have been read again")
        is_up(gw, "second")
        check(connections(gw, "cloud") == 1, "an uplink that is as before keeps its connection")
        append(10)
        # A mistake, and nothing changes; all of it is told.
        gw.write_config(first.replace("mqtt:", "gopher:") + STREAM + "[uplink]\n")
        reload(gw, "the configuration stays as it was")
        wait_for(lambda: gw.logged(r"\[uplink cloud\] uri: expected .*gopher") and gw.logged("expected a name"), "every mistake is told")
        check(state(gw, "cloud") == "up" and state(gw, "second") == "up", "both are as they were")
        append(10)
        # Changed under load: nothing is lost.
        gw.write_config(UPLINK.format(name="cloud", port=cloud.port, id="changed") + STREAM)
        gw.process.send_signal(signal.SIGHUP)
        append(100)
        wait_for(lambda: connections(gw, "cloud") == 2, "the changed uplink connects as it is now")
        wait_for(lambda: state(gw, "second") == "not there", "the other one is gone")
        append(10)
        heard = lambda: {int(message.payload) for message in list(ear.heard)}
        wait_for(lambda: heard() == set(range(1, 141)), "everything acknowledged is at the cloud")
        # What needs a restart is told.
        gw.write_config(UPLINK.format(name="cloud", port=cloud.port, id="changed") + STREAM + "ttl = 1h\n")
        reload(gw, "[stream s] has changed, too, which needs a restart")
        ear.end()


BOTH_WAYS = """
[stream out]
uplink = cloud
[route out]
filter = plant/#
stream = out
[downlink in]
uplink = cloud
filter = plant/#
"""


def no_loops(build, cloud):
    """Each sends plant/# to the broker and takes plant/# from there."""
    def config(name):
        return UPLINK.format(name="cloud", port=cloud.port, id=name) + BOTH_WAYS

    at_cloud = gateway.Ear(cloud.port, "plant/#", name="loop-ear")
    with gateway.Gateway(build, config("one")) as one, gateway.Gateway(build, config("two")) as two:
        ears = [gateway.Ear(gw.port(), "plant/#", name="ear") for gw in (one, two)]
        for gw in (one, two):
            is_up(gw, "cloud")
            wait_for(lambda g=gw: all(s["standing"] for u in g.ctl("uplink/list")["uplinks"] for s in u["subscribed"]),
                     "what it wants to hear stands")
        for round_ in range(20):
            for gw, name in ((one, "a"), (two, "b")):
                with gw.client("node") as node:
                    node.publish(f"plant/{name}", str(round_))
        # A loop would never end, and come before what is said last.
        for gw in (one, two):
            with gw.client("node") as node:
                node.publish("plant/last", "x")
        wait_for(lambda: all(sum(m.topic == "plant/last" for m in list(ear.heard)) == 3 for ear in ears),
                 "each hears its own word, and both from the broker")
        for ear in ears:
            topics = [message.topic for message in list(ear.heard)]
            own = max(topics.count("plant/a"), topics.count("plant/b"))
            other = min(topics.count("plant/a"), topics.count("plant/b"))
            check(own == 40 and other == 20, f"own words twice, the other's once: {own}, {other}")
        heard = [message.topic for message in list(at_cloud.heard)]
        check(len(heard) == 42, f"at the broker every message is once: {len(heard)}")
        for gw in (one, two):
            check(gw.stream("out")["pending"] == 0, "nothing waits")
        for ear in ears:
            ear.end()
    at_cloud.end()


ROUND = """
[uplink a]
uri = mqtt://127.0.0.1:{port}
client-id = round-a-{protocol}
protocol = {protocol}
[uplink b]
uri = mqtt://127.0.0.1:{port}
client-id = round-b-{protocol}
protocol = {protocol}
[stream to-a]
uplink = a
[stream to-b]
uplink = b
[route to-a]
filter = round/#
stream = to-a
[route to-b]
filter = round/#
stream = to-b
[downlink from-a]
uplink = a
filter = round/#
[downlink from-b]
uplink = b
filter = round/#
"""


def no_endless_rounds(build, cloud):
    """What comes from one cloud goes to the other, and back, and ends."""
    for protocol in (4, 5):
        with gateway.Gateway(build, ROUND.format(port=cloud.port, protocol=protocol)) as gw, gw.client("node") as node:
            for name in ("a", "b"):
                is_up(gw, name)
            uplinks = lambda: gw.ctl("uplink/list")["uplinks"]
            wait_for(lambda: all(s["standing"] for u in uplinks() for s in u["subscribed"]), "what it wants to hear stands")
            at_cloud = gateway.Ear(cloud.port, "round/#", name=f"round-ear-{protocol}")
            check(node.publish("round/x", "1") < 0x80, "it is taken")
            wait_for(lambda: sum(u["looped"] for u in uplinks()) > 0, "a message that goes round is noticed")
            wait_for(lambda: gw.logged("there is a loop"), "the log says so")

            def all_are_out():
                said, sent = uplinks(), len(at_cloud.heard)
                return (sum(gw.stream(s)["pending"] for s in ("to-a", "to-b")) == 0
                        and all(u["received"] == sent and u["inFlight"] == 0 for u in said)) and sent

            count = wait_for(all_are_out, "all that went out has come back, and nothing more goes")
            check(4 <= count <= 200, f"it was not at once, and not for long: {count}")
            at_cloud.end()


def without_a_clock(build, cloud):
    """In 1970: all that is local works, an uplink without TLS connects, one with TLS says what it waits for."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        config = (UPLINK.format(name="plain", port=cloud.port, id="early") +
                  UPLINK.format(name="secure", port=cloud.port, id="early-too").replace("mqtt:", "mqtts:") +
                  UPLINK.format(name="floor", port=cloud.port, id="early-three").replace("mqtt:", "mqtts:") + "clock = floor\n" +
                  "[stream s]\nuplink = plain\n")
        gw = gateway.Gateway(build, config, folder=folder, prefix=in_1970())
        ear = gateway.Ear(cloud.port, "streams/s", name="early-ear")
        try:
            gw.start()
            is_up(gw, "plain")
            with gw.client("node", clean=False) as node:
                node.subscribe("a/#")
                node.publish("a/retained", "1", retain=True)
                check(node.message().payload == b"1", "messages are passed on")
                check(node.publish("$gatehouse/streams/s/append", "record") < 0x80, "records are taken")
                check(node.publish("$aws/things/pump/shadow/update", '{"state":{"desired":{"on":true}}}') < 0x80, "shadows, too")
            wait_for(lambda: list(ear.heard), "the record is at the cloud")
            uplinks = {u["name"]: u for u in gw.ctl("uplink/list")["uplinks"]}
            check("waits until the clock is set" in (uplinks["secure"]["reason"] or ""), f"it says so: {uplinks['secure']}")
            wait_for(lambda: "cannot connect" in (next(u for u in gw.ctl("uplink/list")["uplinks"] if u["name"] == "floor")["reason"]
                                                  or ""), "who may take the last known time tries")
            wait_for(lambda: gw.logged("the clock is behind the last time that is known"), "the log says so")
        finally:
            ear.end()
            gw.end()


def in_1970():
    """What a command is run by to think so. Not the program faketime, which stays there as the parent and would be killed in
    place of the daemon."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        raise gateway.Skip("faketime is not installed")
    return (gateway.find_tool("env"), "LD_PRELOAD=" + libraries[0], "FAKETIME=@1970-01-01 00:00:30",
            "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")


def works_under_faketime():
    done = subprocess.run([*in_1970(), "date", "+%Y"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == "1970"


def early(build, cloud, suite):
    if suite.is_sanitized():
        raise gateway.Skip("sanitizers do not go with faketime")
    if not works_under_faketime():
        raise gateway.Skip("faketime does not work here")
    without_a_clock(build, cloud)


def main():
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        cloud = gateway.Cloud(folder)
        try:
            suite.run("uplinks change without a restart, and nothing is lost", settings_change, suite.build, cloud)
            suite.run("two gateways that send to and take from one broker do not loop", no_loops, suite.build, cloud)
            suite.run("what two clouds send each other through a gateway ends", no_endless_rounds, suite.build, cloud)
            suite.run("in 1970 all that is local works, and TLS waits for the time", early, suite.build, cloud, suite)
        finally:
            cloud.end()
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
