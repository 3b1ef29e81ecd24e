#!/usr/bin/python3
"""gatehouse policy lint: on files and standard input, as text and as JSON, without a daemon.

    tests/cli/test_policy.py BUILD
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import gateway  # noqa: E402
from gateway import check  # noqa: E402

GOOD = """{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Connect",
  "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"}}"""
BROAD = """{"Version": "2012-10-17",
 "Statement": [
  {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/a/*"},
  {"Sid": "a\\u001bb", "Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/a/\\u001b[1m"},
  {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}]}"""
BROKEN = '{"Version": "2012-10-17",\n "Statement": [{"Effect": "allow"}]}'


class Folder:
    def __init__(self, build, folder):
        self.program, self.folder = os.path.join(build, "daemon", "cli", "gatehouse"), folder
        for name, text in (("good", GOOD), ("broad", BROAD), ("broken", BROKEN), ("long", " " * 70000)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)

    def lint(self, *words, status, stdin=""):
        done = subprocess.run([self.program, "policy", "lint", *words], capture_output=True, text=True, timeout=60,
                              check=False, input=stdin, cwd=self.folder)
        check(done.returncode == status, f"{words}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done


def a_good_policy_is_silence(folder):
    done = folder.lint("good", status=0)
    check(not done.stdout and not done.stderr, f"nothing is said: {done.stdout}{done.stderr}")


def findings_have_file_line_and_kind(folder):
    done = folder.lint("good", "broad", status=1)
    check(done.stdout.splitlines() == [
        "broad:4:3: unreachable: it makes no difference: statement 1 says as much",
        'broad:5:3: over-broad: Resource "*": it may subscribe to every topic'], done.stdout)


def what_a_terminal_would_obey_is_not_shown(folder):
    text = BROAD.replace("\\u001b[1m", "#\\u001b[1m")
    done = folder.lint("-", status=1, stdin=text)
    check("\x1b" not in done.stdout and "\\x1b" in done.stdout.lower(), f"{done.stdout!r}")
    check(done.stdout.startswith("-:4:3: never-matches: "), done.stdout)


def a_malformed_one_is_told_with_its_place(folder):
    done = folder.lint("broken", status=1)
    check(done.stdout == 'broken:2:27: malformed: Statement[0].Effect: expected "Allow" or "Deny", not "allow"\n',
          done.stdout)
    done = folder.lint("long", status=1)
    check("expected at most 65536 bytes" in done.stdout, done.stdout)
    done = folder.lint("-", status=1, stdin="")
    check(done.stdout == "-:1:1: malformed: expected a value\n", done.stdout)


def json_has_the_same(folder):
    lines = folder.lint("--json", "good", "broad", "broken", status=1).stdout.splitlines()
    good, broad, broken = (json.loads(line) for line in lines)
    check(good == {"file": "good", "findings": []}, good)
    check([f["kind"] for f in broad["findings"]] == ["unreachable", "over-broad"], broad)
    first = broad["findings"][0]
    check((first["line"], first["column"], first["statement"], first["sid"]) == (4, 3, 2, "a\x1bb"), first)
    check("sid" not in broad["findings"][1], broad)
    check(broken["findings"] == [{"line": 2, "column": 27, "kind": "malformed", "text":
                                  'Statement[0].Effect: expected "Allow" or "Deny", not "allow"'}], broken)


def a_file_that_is_not_there_is_told_and_the_others_are_read(folder):
    done = folder.lint("none", "broken", status=1)
    check("none: No such file" in done.stderr and "broken:2:27" in done.stdout, done.stdout + done.stderr)
    done = folder.lint(".", status=1)
    check("Is a directory" in done.stderr and not done.stdout, done.stdout + done.stderr)
    folder.lint(status=2)


def main():
    suite = gateway.Suite(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(suite.build, name)
        for test in (a_good_policy_is_silence, findings_have_file_line_and_kind,
                     what_a_terminal_would_obey_is_not_shown, a_malformed_one_is_told_with_its_place, json_has_the_same,
                     a_file_that_is_not_there_is_told_and_the_others_are_read):
            suite.run(test.__name__.replace("_", " "), test, folder)
    return suite.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main())
