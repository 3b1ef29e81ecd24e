#!/usr/bin/python3
"""A device's and an application's side of a shadow with Paho Python, as the developer guide describes it.

    paho_shadow.py HOST PORT CA CERT KEY THING [NAME]

Goes through get, update, delta, documents, a wrong version, and delete; each answer is awaited by its topic and token. Prints a
line for each step and ends with status 0; with another one and the reason when an answer is not as documented.
"""
import itertools
import json
import queue
import sys

import paho.mqtt.client as mqtt

PATIENCE = 60


class Shadow:
    """Requests to one shadow, and what comes of them."""

    def __init__(self, host, port, tls, thing, name=None):
        self.base = f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")
        self.tokens = (f"{thing}-{n}" for n in itertools.count(1))
        self.connected, self.subscribed, self.heard = queue.Queue(), queue.Queue(), queue.Queue()
        options = {}
        if hasattr(mqtt, "CallbackAPIVersion"):
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        self.client = mqtt.Client(client_id=thing, **options)
        self.client.tls_set(*tls)
        self.client.on_connect = lambda _c, _u, _f, r, *_: self.connected.put(r)
        self.client.on_subscribe = lambda _c, _u, _m, granted, *_: self.subscribed.put(granted)
        self.client.on_message = lambda _c, _u, m: self.heard.put((m.topic, json.loads(m.payload)))
        self.client.connect(host, port)
        self.client.loop_start()
        assert self.connected.get(timeout=PATIENCE) == 0, "the connection is refused"
        topics = [f"{self.base}/{verb}/{answer}" for verb in ("get", "update", "delete") for answer in ("accepted", "rejected")]
        topics += [f"{self.base}/update/delta", f"{self.base}/update/documents"]
        self.client.subscribe([(topic, 1) for topic in topics])
        granted = self.subscribed.get(timeout=PATIENCE)
        assert list(granted) == [1] * len(topics), f"granted {granted}"

    def ask(self, verb, **members):
        """The token."""
        token = next(self.tokens)
        self.client.publish(f"{self.base}/{verb}", json.dumps(members | {"clientToken": token}), qos=1)
        return token

    def expect(self, suffix, token, **members):
        """The next message: on that topic, with that token and these members. All of it."""
        topic, document = self.heard.get(timeout=PATIENCE)
        assert topic == f"{self.base}/{suffix}", f"expected {suffix}, found {topic}: {document}"
        assert document.get("clientToken") == token, f"expected token {token}: {document}"
        for key, value in members.items():
            assert document[key] == value, f"expected {key} {value!r}: {document}"
        print(suffix, json.dumps(members), flush=True)
        return document

    def close(self):
        assert self.heard.empty(), f"nothing more was expected: {self.heard.get()}"
        self.client.disconnect()
        self.client.loop_stop()


def flows(shadow):
    shadow.expect("get/rejected", shadow.ask("get"), code=404)

    token = shadow.ask("update", state={"reported": {"on": False, "color": {"r": 1, "g": 2}}})
    made = shadow.expect("update/documents", token, previous=None)
    assert made["current"]["version"] == 1, f"the first: {made}"
    shadow.expect("update/accepted", token, version=1, state={"reported": {"on": False, "color": {"r": 1, "g": 2}}})

    token = shadow.ask("update", state={"desired": {"on": True, "color": {"r": 1}}})
    delta = shadow.expect("update/delta", token, version=2, state={"on": True})
    assert set(delta) == {"version", "timestamp", "state", "metadata", "clientToken"}, f"a delta: {delta}"
    shadow.expect("update/documents", token)
    shadow.expect("update/accepted", token, version=2, state={"desired": {"on": True, "color": {"r": 1}}})

    token = shadow.ask("update", state={"reported": {"on": True}}, version=1)
    shadow.expect("update/rejected", token, code=409, message="Version conflict")

    token = shadow.ask("update", state={"reported": {"on": True}}, version=2)
    both = shadow.expect("update/documents", token)  # nothing differs any more: no delta
    assert both["previous"]["version"] == 2 and both["current"]["version"] == 3, f"documents: {both}"
    shadow.expect("update/accepted", token, version=3)

    found = shadow.expect("get/accepted", shadow.ask("get"), version=3)
    assert found["state"] == {"reported": {"on": True, "color": {"r": 1, "g": 2}},
                              "desired": {"on": True, "color": {"r": 1}}}, f"the document: {found}"
    assert set(found["metadata"]) == {"reported", "desired"}, f"its metadata: {found}"

    token = shadow.ask("update", state={"desired": None})
    shadow.expect("update/documents", token)
    shadow.expect("update/accepted", token, version=4, state={"desired": None})

    shadow.expect("update/rejected", shadow.ask("update"), code=400, message="Missing required node: state")

    shadow.expect("delete/accepted", shadow.ask("delete"), version=4)
    shadow.expect("delete/rejected", shadow.ask("delete"), code=404)

    token = shadow.ask("update", state={"reported": {"on": True}})
    again = shadow.expect("update/documents", token, previous=None)
    assert again["current"]["version"] > 4, f"it goes on counting: {again}"
    shadow.expect("update/accepted", token)


def main():
    host, port, ca, cert, key, thing, *name = sys.argv[1:]
    shadow = Shadow(host, int(port), (ca, cert, key), thing, *name)
    flows(shadow)
    shadow.close()


if __name__ == "__main__":
    main()
