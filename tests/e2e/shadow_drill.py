"""Shadows and their past, checked against an opinion of our own: JSON merge patches, applied here."""
import json

import raw
from drill import Publisher
from gateway import check


def apply_patch(state, patch):
    """RFC 7396; None is a document, or a member, that does not exist."""
    if not isinstance(patch, dict):
        return patch
    made = dict(state) if isinstance(state, dict) else {}
    for key, value in patch.items():
        value = apply_patch(made.get(key), value)
        if value is None:
            made.pop(key, None)
        else:
            made[key] = value
    return made


def ask(gw, what, thing, name=None, **more):
    request = {"thing": thing, **({"name": name} if name else {}), **more}
    return gw.ctl("shadow/" + what, json.dumps(request).encode())


def states_of(gw, thing, name=None):
    """{version: state} as far as it is remembered, newest first, with the one before the oldest change."""
    log = ask(gw, "log", thing, name, max=1000)
    if "changes" not in log:
        check(log["code"] == 404, f"{thing}: {log}")
        return {}
    check(not log["more"], f"{thing}: one answer has it all")
    version = log["version"]
    state = ask(gw, "at", thing, name, version=version).get("state") if version else None
    states = {version: state}
    for change in log["changes"]:
        check(change["version"] == version, f"{thing}: version {version} is missing in the log, {change['version']} is there")
        before = apply_patch(state, change["was"])
        check(apply_patch(before, change["now"]) == state, f"{thing}: version {version}: was and now do not fit: {change}")
        version, state = version - 1, before
        states[version] = state
    return states


def check_past(gw, thing, name, kept):
    """So many changes are remembered, each version is what the log says, and so is what blame says of its values."""
    states = states_of(gw, thing, name)
    newest = max(states)
    check(len(states) == min(newest, kept) + 1, f"{thing}: {len(states) - 1} changes of {newest} are remembered")
    for version, state in states.items():
        if version:
            found = ask(gw, "at", thing, name, version=version)
            check(found.get("state", 0) == state, f"{thing}: version {version} is {found}, by the log {state}")
    return states


class ChangingShadow(Publisher):
    """Updates of one shadow. What was accepted is heard, and what a version was once it is for ever."""

    window = 8  # with 10 in flight of one connection the next is refused

    def __init__(self, thing, name=None, version=4):
        super().__init__(thing, version, 1)
        self.thing, self.shadow = thing, name
        self.base = f"$aws/things/{thing}/shadow/" + (f"name/{name}/" if name else "")
        self.numbers = {}  # version: the number in it
        self.states = {}  # version: all of it
        self.version_acked = 0

    @staticmethod
    def update(number):
        key = f"k{number % 7}"
        return {"reported": {"n": number, key: None if number % 5 == 0 else {"text": "x" * (number % 50), "list": [number]}},
                "desired": {"n": number // 3}}

    def message(self, number):
        return self.base + "update", json.dumps({"state": self.update(number)}).encode()

    def greeting(self):
        return raw.subscribe(1, [(self.base + "update/accepted", 0), (self.base + "update/rejected", 0)], self.version)

    def on_message(self, message):
        document = json.loads(message.payload)
        check(message.topic.endswith("accepted"), f"{self.name}: an update is rejected: {document}")
        self.learn(document["version"], document["state"]["reported"]["n"])
        self.version_acked = max(self.version_acked, document["version"])

    def learn(self, version, number):
        known = self.numbers.setdefault(version, number)
        check(known == number, f"{self.name}: version {version} was n={known} before, and is n={number} now")

    def audit(self, gw, kept, rng):
        """After a start: nothing that was acknowledged is missing, and the past is what it was."""
        states = states_of(gw, self.thing, self.shadow)
        newest = max(states, default=0)
        check(newest >= self.version_acked, f"{self.name}: version {self.version_acked} was told, {newest} is there")
        if not newest:
            check(self.acked == 0, f"{self.name}: {self.acked} updates were acknowledged, there is no shadow")
            return
        check(len(states) == min(newest, kept) + 1, f"{self.name}: {len(states) - 1} changes of {newest} are remembered")
        number = states[newest]["reported"]["n"]
        check(self.acked <= number <= self.highest, f"{self.name}: n={self.acked} was acknowledged, n={number} is there")
        for version, state in states.items():
            self.audit_version(version, state, states.get(version - 1, state))
        version = rng.choice([v for v in states if v])
        found = ask(gw, "at", self.thing, self.shadow, version=version)
        check(found.get("state") == states[version], f"{self.name}: version {version} is {found}, by the log {states[version]}")
        self.states = states

    def audit_version(self, version, state, before):
        if not version:
            check(state is None, f"{self.name}: before the first version there was {state}")
            return
        check(self.states.get(version, state) == state, f"{self.name}: version {version} was {self.states.get(version)}, "
              f"and is {state} now")
        number = state["reported"]["n"]
        self.learn(version, number)
        if before is not state:
            expected = apply_patch(before, self.update(number))
            check(state == expected, f"{self.name}: version {version} is {state}, and should be {expected}")


def request(client, base, verb, document):
    """A request with a token, by somebody who hears its answers: ("accepted" or "rejected", document)."""
    token = f"t{client.next_id()}"
    client.publish(base + verb, json.dumps({**document, "clientToken": token}))
    while True:
        message = client.message()
        answer = json.loads(message.payload)
        if answer.get("clientToken") == token:
            return message.topic.rsplit("/", 1)[1], answer
