#!/usr/bin/env python3
"""Writes COVERAGE.md: which statement of the specifications which conformance case shows.

    coverage.py            writes it
    coverage.py --check    fails when it is out of date, or when something does not fit together:
                           a case names an unknown statement or one of clients only, two cases of a file
                           have the same name, a statement is shown by nothing and no reason says why,
                           or a reason is given for one that is shown
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSIONS = ("3.1.1", "5.0")
NAMED = 3  # cases named in the table; of more, the number is told

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def read_statements():
    """(version, number) -> (who, what it asks, why nothing shows it or "")"""
    statements = {}
    path = HERE / "statements.txt"
    for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(3\.1\.1|5\.0) (\d+(?:\.\d+)*-\d+) ([SC]) ([^|]+?)(?: \| (.+))?", line)
        if not match:
            fault(f"{path.name}:{at}", "VERSION NUMBER WHO WHAT [| REASON] is expected")
            continue
        version, number, who, what, reason = match.groups()
        if (version, number) in statements:
            fault(f"{path.name}:{at}", f"{version} {number} is there already")
        statements[version, number] = (who, what, reason or "")
    return statements


def read_cases(folder, statements):
    """(version, number) -> ["file: case", ...]; and how many cases there are"""
    shown = {}
    count = 0
    for path in sorted(folder.glob("*.txt")):
        name = None
        names = set()
        for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split("#")[0].split() if not line.startswith("case ") else []
            if line.startswith("case "):
                name = line[len("case "):].strip()
                count += 1
                if name in names:
                    fault(f"{path.name}:{at}", f"two cases are called {name}")
                names.add(name)
            elif len(words) > 1 and words[0] in VERSIONS and words[1].startswith("MQTT-"):
                for number in words[1:]:
                    key = words[0], number.removeprefix("MQTT-")
                    if key not in statements:
                        fault(f"{path.name}:{at}", f"MQTT {key[0]} has no statement {number}")
                    elif statements[key][0] == "C":
                        fault(f"{path.name}:{at}", f"{number} of MQTT {key[0]} is about clients only")
                    shown.setdefault(key, []).append(f"{path.stem}: {name}")
    return shown, count


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def cases_cell(cases):
    more = f" (and {len(cases) - NAMED} more)" if len(cases) > NAMED else ""
    return cell("; ".join(cases[:NAMED])) + more


def rows(version, statements, shown, later):
    for (of, number), (who, what, reason) in statements.items():
        key = of, number
        if of != version or who == "C":
            continue
        if key in shown:
            yield "shown", number, what, cases_cell(shown[key])
            if reason:
                fault("statements.txt", f"{of} {number} is shown by a case, but has a reason why not")
        elif key in later:
            yield "waits", number, what, f"waits: later/{cases_cell(later[key])}"
        else:
            yield "not shown", number, what, f"not shown: {cell(reason)}"
            if not reason:
                fault("statements.txt", f"{of} {number} is shown by no case, and no reason says why")


def compose(statements, shown, later, count):
    tables = {version: list(rows(version, statements, shown, later)) for version in VERSIONS}
    text = [
        "# What the conformance suite shows",
        "",
        "Written by `tests/mqtt/coverage.py` from `statements.txt` and the cases in `conformance/`; a test fails when it is",
        f"out of date. There are {count} cases. Statements about clients alone are left out. What waits is in",
        "`conformance/later/` until the broker does it.",
        "",
        "| MQTT | statements about a server | shown | waiting | not shown |",
        "| --- | --- | --- | --- | --- |",
    ]
    for version, table in tables.items():
        kinds = [row[0] for row in table]
        text.append(f"| {version} | {len(kinds)} | {kinds.count('shown')} | {kinds.count('waits')} "
                    f"| {kinds.count('not shown')} |")
    for version, table in tables.items():
        text += ["", f"## MQTT {version}", "", "| statement | what it asks | cases |", "| --- | --- | --- |"]
        text += [f"| {number} | {cell(what)} | {where} |" for _, number, what, where in table]
    return "\n".join(text) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    statements = read_statements()
    shown, count = read_cases(HERE / "conformance", statements)
    later, _ = read_cases(HERE / "conformance" / "later", statements)
    text = compose(statements, shown, later, count)
    target = HERE / "COVERAGE.md"
    if sys.argv[1:] == ["--check"]:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            fault(target.name, "is out of date: run tests/mqtt/coverage.py")
    else:
        target.write_text(text, encoding="utf-8")
    for line in faults:
        print(line, file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
