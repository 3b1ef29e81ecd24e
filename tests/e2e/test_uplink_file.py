#!/usr/bin/python3
"""Records that leave into files of a folder: finished by size and time, whole whenever the gateway is killed, kept when there
is no room.

    tests/e2e/test_uplink_file.py BUILD
"""
import json
import os
import sys
import tempfile

import gateway
from gateway import check, wait_for


def config(folder, more=""):
    return (f"[uplink out]\nuri = file://{folder}\n{more}[stream s]\nuplink = out\n[route r]\nfilter = r/#\nstream = s\n")


def files(folder):
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)


def records(folder, finished=False):
    """Of all files, in order of each; half a record is a fault in a file that is finished."""
    found = []
    for path in files(folder):
        if path.endswith(".part") and finished:
            continue
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n") or not path.endswith(".part"):
                    found.append(json.loads(line))
    return found


def uplink(gw):
    return next(u for u in gw.ctl("uplink/list")["uplinks"] if u["name"] == "out")


def publish(gw, begin, count, topics=3):
    with gw.client(f"p{begin}") as client:
        for i in range(begin, begin + count):
            client.publish(f"r/{i % topics}", f"n{i}")


def by_topic(suite, folder):
    with gateway.Gateway(suite.build, config(folder, "path = ${stream}/${topic}\n")) as gw:
        publish(gw, 0, 90)
        wait_for(lambda: gw.stream("s")["pending"] == 0, "all are settled")
        check(len(records(folder)) == 90, "what is settled is there")
        check(all(path.endswith(".ndjson.part") for path in files(folder)), str(files(folder)))
        said = uplink(gw)
        check(said["kind"] == "file" and said["state"] == "up" and said["sent"] == 90, str(said))
        gw.stop()
        check(len(files(folder)) == 3 and all(path.endswith(".ndjson") for path in files(folder)), str(files(folder)))
        for path in files(folder):
            with open(path, encoding="utf-8") as file:
                rows = [json.loads(line) for line in file]
            check([row["seq"] for row in rows] == sorted(row["seq"] for row in rows), "in order")
            check(all(row["stream"] == "s" and f"/s/{row['topic']}." in path for row in rows), "each in its own")


def killed(suite, folder):
    with gateway.Gateway(suite.build, config(folder, "rotate-size = 4K\npath = all\n")) as gw:
        for round_ in range(5):
            publish(gw, 100 * round_, 100, 1)
            gw.restart()
        wait_for(lambda: gw.stream("s")["pending"] == 0, "all are settled")
        gw.stop()
        rows = records(folder, finished=True)
        check({int(row["payload"][1:]) for row in rows} == set(range(500)), "every record is in a finished file")
        check(not any(path.endswith(".part") for path in files(folder)), "and none is left")


def no_room(suite, folder):
    with gateway.Gateway(suite.build, config(folder, "rotate-size = 4K\ndisk-max = 20K\npath = all\n")) as gw:
        publish(gw, 0, 400, 1)
        said = wait_for(lambda: (lambda u: u["state"] != "up" and u)(uplink(gw)), "it is full")
        check("may hold 20480" in said["reason"], str(said))
        check(gw.stream("s")["pending"] > 0, "records are kept")
        taken = []

        def drain():
            for path in files(folder):
                if path.endswith(".ndjson"):
                    with open(path, encoding="utf-8") as file:
                        taken.extend(json.loads(line) for line in file)
                    os.unlink(path)
            gw.ctl("uplink/restore", b'{"name":"out"}')
            return gw.stream("s")["pending"] == 0
        wait_for(drain, "what is taken away makes room", pause=0.1)
        taken += records(folder)
        check([int(row["payload"][1:]) for row in taken] == list(range(400)), "every record, once and in order")


def repaired(suite, folder):
    """A file in the folder's place: kept, told, and written when it has gone."""
    os.rmdir(folder)
    with open(folder, "w", encoding="ascii"):
        pass
    with gateway.Gateway(suite.build, config(folder)) as gw:
        publish(gw, 0, 10)
        said = wait_for(lambda: (lambda u: u["state"] == "down" and u)(uplink(gw)), "it is down")
        check("Not a directory" in said["reason"], str(said))
        os.unlink(folder)
        gw.ctl("uplink/restore", b'{"name":"out"}')
        wait_for(lambda: gw.stream("s")["pending"] == 0, "all are settled")
        check(len(records(folder)) == 10, "and written")


def main():
    suite = gateway.Suite(sys.argv[1])
    tests = [
        ("a file for each topic, finished at the end", by_topic),
        ("the gateway is killed while it writes", killed),
        ("a folder that is full", no_room),
        ("a folder that is none", repaired),
    ]
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as top:
        for number, (sentence, function) in enumerate(tests):
            folder = os.path.join(top, str(number))
            os.mkdir(folder)
            suite.run(sentence, function, suite, folder)
    return suite.end()


gateway.run(main)
