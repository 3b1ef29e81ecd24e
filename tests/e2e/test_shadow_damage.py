#!/usr/bin/python3
"""Pages of state.db that are damaged while it is closed: told, put aside, saved around, and never taken for an empty shadow.

    tests/e2e/test_shadow_damage.py BUILD [--seed N]

Which pages are hit is the seed's choice.
"""
import argparse
import json
import os
import random

import gateway
from gateway import check
from shadow_drill import request, states_of
from test_shadow import base_of, stopped

PAGE = 4096
SHADOWS, RECORDS = b'"who":"thing-', b"\n[8,"  # what is in the pages of these tables


class Damage:
    """Shadows with a history, and pages of the database that are overwritten while it is closed."""

    things = [f"thing-{k:03}" for k in range(200)]

    def __init__(self, gw, rng):
        self.gw, self.rng = gw, rng
        self.path = os.path.join(gw.state, "state.db")
        gw.start()
        with gw.client("writer") as writer:
            for n in range(12):
                for thing in self.things:
                    document = {"state": {"reported": {"n": n, "who": thing, "pad": "." * (40 + n)}}}
                    writer.publish(base_of(thing) + "update", json.dumps(document), qos=int(thing == self.things[-1]))
            writer.publish("state/kept", "retained", retain=True)
        check(gw.stop() == 0, "the daemon stops with status 0")
        with open(self.path, "rb") as file:
            data = file.read()
        self.pages = [data[at:at + PAGE] for at in range(0, len(data), PAGE)]

    def leaves(self, has):
        """Leaves of a table with something in them, not only once: pages have rests of old rows. Not those that stand in the
        WAL: SQLite does not read them from the file."""
        newer = self.in_wal()
        return [n for n, page in enumerate(self.pages)
                if n and n not in newer and page[0] == 0x0D and page.count(has) > 3]

    def in_wal(self):
        """Format: https://sqlite.org/fileformat2.html#the_write_ahead_log"""
        if not os.path.exists(self.path + "-wal"):
            return set()
        with open(self.path + "-wal", "rb") as file:
            data = file.read()
        return {int.from_bytes(data[at:at + 4], "big") - 1 for at in range(32, len(data), 24 + PAGE)}

    def leaf(self, has):
        found = self.leaves(has)
        check(found, f"there is a page with {has}")
        return self.rng.choice(found)

    def leaf_of_shadows(self):
        """And whose rows are there."""
        page = self.leaf(SHADOWS)
        return page, [thing for thing in self.things if f'"who":"{thing}"'.encode() in self.pages[page]]

    def overwrite(self, number, how):
        another = self.rng.choice([n for has in (SHADOWS, RECORDS) for n in self.leaves(has) if n != number])
        pages = {"zeros": bytes(PAGE), "garbage": self.rng.randbytes(PAGE), "another page": self.pages[another],
                 "half": self.pages[number][:PAGE // 2] + self.rng.randbytes(PAGE // 2)}
        with open(self.path, "r+b") as file:
            file.seek(number * PAGE)
            file.write(pages[how])

    def restore(self):
        for name in os.listdir(self.gw.state):
            if name.startswith("state.db"):
                os.remove(os.path.join(self.gw.state, name))
        with open(self.path, "wb") as file:
            file.write(b"".join(self.pages))

    def look(self):
        """Things by what a get says: a document as it should be, an error, or that there is none."""
        found = {"good": [], "error": [], "none": []}
        with self.gw.client("reader") as reader:
            reader.subscribe("$aws/things/+/shadow/get/+")
            for thing in self.things:
                word, answer = request(reader, base_of(thing), "get", {})
                if word == "accepted":
                    check(answer["version"] == 12 and answer["state"]["reported"] ==
                          {"n": 11, "who": thing, "pad": "." * 51}, f"{thing}: {answer}")
                    found["good"].append(thing)
                else:
                    check(answer["code"] in (404, 500), f"{thing}: {answer}")
                    found["none" if answer["code"] == 404 else "error"].append(thing)
        return found

    def alarms(self, running, wait=True):
        store = self.gw.ctl("gateway/status")["store"]
        check(store["damaged"] == running and bool(store["salvaged"]) != running, f"the status says so: {store}")
        check("\ndamaged   " in self.gw.cli("status"), "the command line, too")
        if not running and wait:  # it reports behind its start, and then not for a while
            problems = gateway.wait_for(self.problems, "the gateway's own shadow warns")
            check(any("database" in problem for problem in problems), f"of the database: {problems}")
        return store["salvaged"]

    def problems(self):
        with self.gw.client("operator") as operator:
            operator.subscribe(base_of("test", "gatehouse") + "get/+")
            word, answer = request(operator, base_of("test", "gatehouse"), "get", {})
            return answer["state"]["reported"]["problems"] if word == "accepted" else None

    def salvaged(self, lost, wait=False):
        """After the start that saved what there was: who is missing is named, the rest is whole, the damaged file is kept."""
        found = self.look()
        check(not found["error"], f"what is there can be read: {found['error']}")
        report = self.alarms(running=False, wait=wait)[0]
        tables = {table["table"]: table for table in report["tables"]}
        check(sorted(tables["shadow"]["keys"]) == found["none"][:20] or tables["shadow"]["lost"] is None,
              f"who is missing is named: {found['none']} and {tables['shadow']}")
        check(set(found["none"]) <= set(lost), f"none but those of the page: {found['none']} of {lost}")
        check(os.path.exists(os.path.join(self.gw.state, report["file"])), "the damaged file is kept")
        listed = {shadow["thing"] for shadow in self.gw.ctl("shadow/list", b'{"limit":1000}')["shadows"]}
        check(listed - {"other", "test"} == set(found["good"]), f"what is listed is what is there: {listed}")
        for thing in self.rng.sample(found["good"], 5):
            states = states_of(self.gw, thing)
            check(all(states[v]["reported"]["n"] == v - 1 for v in states if v), f"{thing}: its past is right: {states}")
        with self.gw.client("reader") as reader:
            reader.subscribe("state/kept")
            check(reader.message().payload == b"retained", "other tables are as they were")
        with self.gw.client("writer") as writer:
            for thing in self.things:
                check(writer.publish(base_of(thing) + "update", '{"state":{"reported":{"new":1}}}') == 0, "it goes on")
        check(self.gw.stop() == 0, "and stops with status 0")

    def met_while_running(self, how):
        """After a stop in order nobody looks through the file: the page is met when one of its shadows is asked for."""
        page, theirs = self.leaf_of_shadows()
        self.overwrite(page, how)
        self.gw.start()
        found = self.look()
        check(found["error"] and set(found["error"]) <= set(theirs), f"those of the page are errors: {found} of {theirs}")
        check(not found["none"], f"none is said not to exist: {found['none']}")
        self.refuses_updates(found["error"])
        self.alarms(running=True)
        check(self.gw.stop() == 0, "it can be stopped")
        self.gw.start()
        self.salvaged(theirs)

    def refuses_updates(self, things):
        with self.gw.client("writer", version=5) as writer:
            writer.subscribe("$aws/things/+/shadow/update/+")
            for thing in things:
                word, answer = request(writer, base_of(thing), "update", {"state": {"reported": {"n": 0}}})
                check(word == "rejected" and answer["code"] == 500, f"{thing}: it does not begin anew: {answer}")

    def killed(self):
        """Behind a write: what is left of it makes the next start look through the file."""
        self.gw.start()
        with self.gw.client("writer") as writer:
            writer.publish(base_of("other") + "update", '{"state":{"reported":{"n":1}}}')
        self.gw.kill()

    def met_after_a_kill(self, how):
        self.killed()
        page, theirs = self.leaf_of_shadows()
        self.overwrite(page, how)
        self.gw.start()
        self.salvaged(theirs)

    def history_page(self, how):
        """A page of old records: no shadow is lost, and its past ends earlier."""
        self.killed()
        self.overwrite(self.leaf(RECORDS), how)
        self.gw.start()
        self.salvaged([], wait=how == "zeros")

    def schema_page(self, how):
        """The page that says where everything is: nothing else is lost."""
        self.overwrite(0, how)
        self.gw.start()
        self.salvaged([])

    def run(self, how):
        for test in (self.met_while_running, self.met_after_a_kill, self.history_page, self.schema_page):
            try:
                test(how)
            except AssertionError as error:
                raise AssertionError(f"{test.__name__}: {error}") from error
            self.restore()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    suite = gateway.Suite(options.build)
    print(f"seed {options.seed}", flush=True)
    with stopped(suite.build) as gw:
        damage = Damage(gw, random.Random(options.seed))
        for how, sentence in (("zeros", "a page of zeros"), ("garbage", "a page of garbage"), ("another page", "another page in its place"),
                              ("half", "half of a page is garbage")):
            suite.run(sentence, damage.run, how)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
