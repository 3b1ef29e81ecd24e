#!/usr/bin/python3
"""The manual page and the bash completion know what the program says of itself; wrong usage is told; no daemon is needed.

    tests/cli/test_help.py BUILD
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import gateway  # noqa: E402
from gateway import check  # noqa: E402

GENERAL = {"--runtime", "--json", "--help", "--version"}


class Program:
    def __init__(self, build):
        self.path = os.path.join(build, "daemon", "cli", "gatehouse")

    def run(self, *words, status=0, environment=None, folder=None):
        done = subprocess.run([self.path, *words], capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL, env=environment, cwd=folder)
        check(done.returncode == status, f"gatehouse {' '.join(words)}: status {done.returncode}: {done.stderr}")
        return done

    def commands(self):
        """As --help lists them: tuples of words."""
        lines = self.run("--help").stdout.split("\n\n")[1].splitlines()
        return [tuple(re.match(r"  (\S+(?: \S+)*?)  ", line).group(1).split()) for line in lines]

    def options(self, command):
        """As the command's --help lists them: (name, letter or None, value or None)."""
        text = self.run(*command, "--help").stdout
        found = re.findall(r"^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z]+))? ", text, re.M)
        return [("--" + name, letter or None, value or None) for letter, name, value in found]


def manual():
    with open(os.path.join(ROOT, "deploy", "man", "gatehouse.1"), encoding="utf-8") as file:
        return file.read()


def the_manual_has_every_command(program):
    headings = re.findall(r"^\.Ss (.*)$", manual(), re.M)
    expected = program.commands()
    check(len(expected) > 10, "--help lists the commands")
    for command in expected:
        check(any(line.split()[:len(command)] == list(command) for line in headings), f"{command} has a section")
    check(len(headings) == len(expected), "and there is no other section")


def the_manual_has_every_option(program):
    sections = re.split(r"^\.S[sh] ", manual(), flags=re.M)
    for command in program.commands():
        section = next(s for s in sections if s.split()[:len(command)] == list(command))
        for name, letter, _ in program.options(command):
            if name not in GENERAL:
                check(f"Fl -{name[2:]}" in section or (letter and f"-{name[2:]}" in section),
                      f"{command}: {name} is in its section")
    for name in GENERAL:
        check(f"Fl -{name[2:]}" in manual(), f"{name} is in the manual")


def the_manual_is_well_formed(_program):
    groff = gateway.find_tool("groff")
    done = subprocess.run([groff, "-mdoc", "-ww", "-Tutf8", os.path.join(ROOT, "deploy", "man", "gatehouse.1")],
                          capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == 0 and not done.stderr, f"groff has nothing to say: {done.stderr}")


def complete(*words):
    """What bash offers for the last of the words."""
    script = os.path.join(ROOT, "deploy", "completions", "gatehouse")
    lines = f'. "{script}"\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n_gatehouse\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    done = subprocess.run(["bash", "-euc", lines, "bash", "gatehouse", *words], capture_output=True, text=True,
                          timeout=60, check=False)
    check(done.returncode == 0 and not done.stderr, f"the completion runs: {done.stderr}")
    return set(done.stdout.split())


def the_completion_offers_what_help_says(program):
    commands = program.commands()
    check(complete("") == {c[0] for c in commands} | GENERAL, f"commands: {complete('')}")
    for noun in {c[0] for c in commands if len(c) == 2}:
        verbs = {c[1] for c in commands if c[0] == noun}
        check(complete(noun, "") == verbs | GENERAL, f"{noun}: {complete(noun, '')}")
    for command in commands:
        expected = {name for name, _, _ in program.options(command)}
        check(GENERAL <= expected, f"{command} takes the general options")
        check(complete(*command, "") == expected, f"{command}: {complete(*command, '')}, expected {expected}")


def the_completion_knows_which_options_take_a_value(program):
    for command in program.commands():
        for name, letter, value in program.options(command):
            for spelling in [name] + (["-" + letter] if letter else []):
                found = complete(spelling, command[0][:2]) if name in GENERAL else complete(command[0], spelling, "--js")
                if name in GENERAL:
                    check((command[0] in found) == (value is None), f"{spelling} then {command[0]}: {found}")
                elif len(command) == 1:
                    check(("--json" in found) == (value is None), f"{command[0]} {spelling}: {found}")
    check(complete("shadow", "get", "--name", "--js") == set(), "the name of a shadow is the user's")
    check(complete("--qos", "") == {"0", "1", "2"}, "there are three qualities of service")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "run"))
        check(complete("--runtime", folder + "/") == {folder + "/run"}, "a runtime directory is a directory")


def the_completion_takes_up_a_word_that_was_begun(_program):
    check(complete("st") == {"status", "stream"}, "st")
    check(complete("--json", "uplink", "c") == {"cut"}, "uplink c")
    check(complete("--runtime", "uplink", "plugin", "r") == {"restart"}, "a value is not a command")


def wrong_usage_is_told_with_status_2(program):
    for words, said in (
            ((), "expected a command"),
            (("stat",), "expected status"),
            (("pub",), "TOPIC"),
            (("pub", "t"), "--stdin"),
            (("pub", "a/+", "1"), "without wildcards"),
            (("pub", "", "1"), "without wildcards"),
            (("pub", "a", "1", "-s"), "standard input"),
            (("pub", "a", "-s", "-l"), "not both"),
            (("pub", "a", "1", "--qos", "3"), "from 0 to 2"),
            (("sub",), "FILTER"),
            (("sub", "a#"), "topic filter"),
            (("sub", "a", "-n", "0"), "from 1"),
            (("sub", "a", "--retained-only", "--no-retained"), "not both"),
            (("shadow", "get", "a/b"), "name of a thing"),
            (("shadow", "get", "a", "--name", "+"), "name of a shadow"),
            (("shadow", "update", "a", "{"), "line 1, column 2"),
            (("shadow", "update", "a", "[]"), "expected an object"),
            (("shadow", "update", "a", "[" * 1000), "inside each other"),
            (("stream", "trace", "a/b"), "name of a stream"),
            (("uplink", "simulate", "a"), "STREAM=RATE*BYTES"),
            (("uplink", "simulate", "a=10"), "10/s*200"),
            (("uplink", "simulate", "a=1/s*1,colour=red"), "priority, weight"),
            (("uplink", "simulate", "a=1/s*1,priority=11"), "from 1 to 10"),
            (("uplink", "simulate", "a=1/s*1,pending=10"), "1000*200"),
            (("uplink", "simulate", "a=1/s*1", "--outage", "1m 1m"), "in order"),
            (("uplink", "simulate", "a=1/s*1", "--rate", "fast"), "20kbit"),
            (("uplink", "simulate", "a=1/s*1", "--for", "soon"), "a time"),
            (("uplink", "simulate", "a=1/s*1", "--begin", "25:00"), "00:00 to 23:59"),
            (("uplink", "simulate", "a=1/s*1", "--rtt", "x"), "from 0 to 600000"),
            (("shadow", "update", "a", "-"), "expected a value")):
        done = program.run(*words, status=2)
        check(said in done.stderr and not done.stdout, f"{words}: {done.stderr}")


def a_daemon_that_is_not_there_is_status_3(program):
    with tempfile.TemporaryDirectory() as folder:
        for words in (["status"], ["pub", "a", "1"], ["sub", "a"], ["shadow", "get", "a"], ["stream", "list"]):
            done = program.run("--runtime", folder, *words, status=3)
            check(f"{folder}/control.sock" in done.stderr, f"the path is told: {done.stderr}")
        environment = dict(os.environ, GATEHOUSE_RUNTIME=folder + "/x")
        done = program.run("status", status=3, environment=environment)
        check(f"{folder}/x/control.sock" in done.stderr, "the environment says where")
        done = program.run("--runtime", "/" + "long" * 50, "status", status=3)
        check("too long" in done.stderr, "a path too long for a socket is told")
        if not os.path.exists("/run/gatehouse/control.sock"):
            environment.pop("GATEHOUSE_RUNTIME")
            done = program.run("status", status=3, environment=environment, folder=folder)
            check("gatehouse-state/run/control.sock" in done.stderr, "else the daemon of this folder")


def help_that_cannot_be_written_is_status_1(program):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([program.path, "--help"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    check(done.returncode == 1 and done.stderr, "a full disk is not silence")


def main():
    suite = gateway.Suite(sys.argv[1])
    program = Program(suite.build)
    for test in (the_manual_has_every_command, the_manual_has_every_option, the_manual_is_well_formed,
                 the_completion_offers_what_help_says, the_completion_knows_which_options_take_a_value,
                 the_completion_takes_up_a_word_that_was_begun, wrong_usage_is_told_with_status_2,
                 a_daemon_that_is_not_there_is_status_3, help_that_cannot_be_written_is_status_1):
        suite.run(test.__name__.replace("_", " "), test, program)
    return suite.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main())
