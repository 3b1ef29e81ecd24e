"""The tables: what `run` prints of its measurements, with the goals beside the figures.

Measurements are {row: {peer: [line, ...]}}, a line being what bench_load says, and what failed {(row, peer): why}. Every
function that prints a table returns the goals that were missed, by name.
"""

import statistics

import rows
from rows import FAULTS, MEMORY, MEMORY_TLS, OFFLINE, QUEUED, WORKS

GENERATOR_IS_FULL = 0.95  # a generator that uses more of a core than this may be what limits the rate


def number(value):
    if value >= 10000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def median_and_range(values):
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def verdict(value, goal, shown=number, at_least=False):
    """The value against its goal, as text, and whether it keeps it; None where there is nothing to compare."""
    if value is None:
        return "", None
    if goal is None:
        return shown(value), None
    kept = value >= goal if at_least else value <= goal
    sign = ("≥" if kept else "<") if at_least else ("≤" if kept else ">")
    return f"{shown(value)} {sign} {shown(goal)}", kept


def percent(value):
    return f"{value * 100:.3g} %"


class Tables:
    def __init__(self, options, names, lines, failed):
        self.options, self.names, self.lines, self.failed = options, names, lines, failed
        self.missed = []

    # ---- parts

    def has(self, row):
        return row.name in self.lines or any(name == row.name for name, _ in self.failed)

    def found(self, row, peer):
        return self.lines.get(row.name, {}).get(peer, [])

    def median(self, row, peer, key):
        values = [key(line) for line in self.found(row, peer)]
        return statistics.median(values) if values else None

    def cells(self, row, names, text):
        """What `text` makes of every peer's lines."""
        return ["fails" if (row.name, peer) in self.failed
                else text(self.found(row, peer)) if self.found(row, peer) else "–" for peer in names]

    def goal(self, name, value, goal, **how):
        """A goal's cell; notes if it is missed."""
        text, kept = verdict(value, goal, **how)
        if kept is False:
            self.missed.append(name)
        return text

    def with_goal(self, row, cells, key, goal, **how):
        """The cells, the one of Gatehouse with the goal behind it."""
        ours = self.median(row, "gatehouse", lambda x: x[key])
        if goal is None or ours is None:
            return cells
        at = self.names.index("gatehouse")
        behind = self.goal(row.name, ours, goal, **how).split(" ", 1)[1]
        return [*cells[:at], f"{cells[at]} {behind}", *cells[at + 1:]]

    @staticmethod
    def table(title, head, body):
        body = [head, *body]
        widths = [max(len(row[i]) for row in body) for i in range(len(head))]
        print(f"\n{title}\n")
        for row in body:
            print("  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip())

    # ---- tables

    def ratio(self, row, peer, goal, shown):
        ours, theirs = (self.median(row, p, lambda x: x["cpu_s_per_million"]) for p in ("gatehouse", peer))
        return self.goal(row.name, ours / theirs if ours and theirs else None, goal, shown=shown)

    def traffic(self):
        works = [row for row in WORKS if self.has(row)]
        if not works:
            return
        versus = [(peer, shown) for peer, shown in (("mosquitto", percent), ("floor", number))
                  if peer in self.names and "gatehouse" in self.names]

        def cost(found):
            return median_and_range([x["cpu_s_per_million"] for x in found])

        body = []
        for row in works:
            cells = self.with_goal(row, self.cells(row, self.names, cost),
                                   "cpu_s_per_million", row.cpu_s_max)
            ratios = [self.ratio(row, peer, row.share if peer == "mosquitto" else row.times, shown)
                      for peer, shown in versus]
            body.append([row.title, *cells, *ratios])
        self.table("What the broker's processor pays for a million deliveries; median (min–max) of "
                   f"{self.options.repeat}:",
                   ["CPU seconds per million", *self.names, *(f"gatehouse/{peer}" for peer, _ in versus)], body)

        def rate(found):
            busy = statistics.median(x["generator_cpu_s"] / x["seconds"] if x["seconds"] else 0 for x in found)
            return number(statistics.median(x["per_second"] for x in found)) + ("*" if busy > GENERATOR_IS_FULL else "")

        body = [[row.title, *self.with_goal(row, self.cells(row, self.names, rate), "per_second", row.per_second_min,
                                            at_least=True)] for row in works]
        self.table("Deliveries a second, median (* the generator's core was full: the broker might do more):",
                   ["", *self.names], body)
        self.delays(works)
        self.correctness(works)

    def delays(self, works):
        timed = [row for row in works if any("p50_us" in x for found in self.lines.get(row.name, {}).values()
                                             for x in found)]
        if not timed:
            return
        compares = "gatehouse" in self.names and "mosquitto" in self.names
        body = []
        for row in timed:
            cells = self.cells(row, self.names, lambda found: " / ".join(
                number(statistics.median(x[key] for x in found)) for key in ("p50_us", "p99_us")))
            if compares:
                ours, theirs = (self.median(row, p, lambda x: x["p99_us"]) for p in ("gatehouse", "mosquitto"))
                cells.append(self.goal(f"{row.name} (p99)", ours / theirs if ours and theirs else None,
                                       1 if row.p99_not_above else None, shown=percent))
            body.append([row.title, *cells])
        self.table("Delay in microseconds, p50 / p99, medians:",
                   ["", *self.names, *(["p99, gatehouse/mosquitto"] if compares else [])], body)

    def correctness(self, works):
        body = [["deliveries checked", *(number(sum(x["delivered"] for row in works for x in self.found(row, p)))
                                         for p in self.names)]]
        for fault in FAULTS:
            sums = [sum(x[fault] for row in works for x in self.found(row, p)) for p in self.names]
            if fault in FAULTS[:3] or any(sums):
                body.append([fault, *map(str, sums)])
        self.table("Correctness, all runs together:", ["", *self.names], body)

    def offline(self):
        """Columns of its own: Mosquitto twice, and the disk alone instead of the forwarder."""
        if not self.has(OFFLINE):
            return
        names = [name for name in ("gatehouse", "mosquitto", "autosave", "disk")
                 if name in self.lines.get(OFFLINE.name, {}) or (OFFLINE.name, name) in self.failed]

        def figures(title, value, goal=""):
            def text(found):
                values = [value(x) for x in found]
                return "" if None in values else median_and_range(values)
            return [title, *self.cells(OFFLINE, names, text), goal]

        def queue(key):
            return lambda x: x["queue"][key]

        def sums(title, key, goal=""):
            return [title, *self.cells(OFFLINE, names,
                                       lambda found: "" if key not in found[0] else number(sum(x[key] for x in found))),
                    goal]

        acked, cpu = (self.median(OFFLINE, "gatehouse", queue(key)) for key in ("per_second", "cpu_s_per_million"))
        lost = sum(x["lost"] for x in self.found(OFFLINE, "gatehouse")) if self.found(OFFLINE, "gatehouse") else None
        body = [
            ["messages", *self.cells(OFFLINE, names, lambda found: number(found[0]["queue"]["sent"])), ""],
            figures("acknowledged a second", queue("per_second"),
                    self.goal(OFFLINE.name, acked, rows.DURABLE_PER_SECOND_MIN, at_least=True)),
            figures("CPU seconds per million, queueing", queue("cpu_s_per_million"),
                    self.goal(OFFLINE.name, cpu, rows.DURABLE_CPU_S_MAX)),
            figures("start with them, ms", lambda x: x.get("restart_ms")),
            figures("CPU of that, ms", lambda x: x["recovery_cpu_s"] * 1000 if "recovery_cpu_s" in x else None),
            figures("drained a second", lambda x: x["per_second"] if x.get("delivered") else None),
            figures("CPU seconds per million, draining",
                    lambda x: x["cpu_s_per_million"] if x.get("delivered") else None),
            sums("lost by SIGKILL, all runs", "lost", self.goal(OFFLINE.name, lost, 0)),
            sums("sessions lost", "sessions_lost"),
            sums("doubled", "doubled"),
            sums("again, marked DUP", "redelivered"),
            sums("reordered", "reordered"),
        ]
        if "disk" in names:
            body.insert(1, figures("of them in one sync", lambda x: x.get("messages_per_batch")))
        body = [line for line in body if any(line[1:])]
        self.table(f"{OFFLINE.title}; median (min–max) of {self.options.repeat}:", ["", *names, "goal"], body)
        if "mosquitto" in names or "autosave" in names:
            print("\n  mosquitto: persistence true; autosave: and autosave_on_changes true, autosave_interval 1, with "
                  f"{QUEUED['autosave']} messages a second of load, because every save writes all of them.")

    def memory(self):
        if not self.has(MEMORY) and not self.has(MEMORY_TLS):
            return
        body = []

        def figure(row, title, value, goal=None, against=None, shown=number):
            """`against`: what is compared with the goal, if it is not the figure itself."""
            if not self.has(row):
                return
            cells = self.cells(row, self.names, lambda found: median_and_range([value(x) for x in found]))
            ours = self.median(row, "gatehouse", against or value)
            body.append([title, *cells, self.goal(row.name, ours, goal, shown=shown) if goal is not None else ""])

        def left(x):
            return x["pss_after"] / x["pss_before"]

        figure(MEMORY, "idle, no connection, KiB", lambda x: x["pss_before"] / 1024, rows.IDLE_KIB_MAX)
        for row, kind, each in ((MEMORY, "TCP", rows.PER_TCP_BYTES_MAX), (MEMORY_TLS, "TLS", rows.PER_TLS_BYTES_MAX)):
            figure(row, f"per idle {kind} connection, B", lambda x: x["bytes_per_connection"], each)
            figure(row, f"after all {kind} have left, KiB", lambda x: x["pss_after"] / 1024, rows.BACK_TO_IDLE_MAX,
                   left, lambda x: f"{x:.2f} × idle")
            figure(row, f"CPU per {kind} connect, ms", lambda x: x["opening_cpu_s"] * 1000 / x["connections"])
            figure(row, f"CPU while all {kind} are idle, %", lambda x: x["held_cpu_s"] * 100 / x["held_s"])
        figure(MEMORY, "exec to accepting, ms", lambda x: x["start_ms"], rows.START_MS_MAX)
        self.table(f"Memory (PSS) and start, {self.options.connections} idle TCP and {self.options.tls_connections} "
                   "idle TLS connections:", ["", *self.names, "goal"], body)

    def report(self):
        """Prints all there is. Returns the names of the rows that miss a goal."""
        self.traffic()
        self.offline()
        self.memory()
        for (row, peer), why in self.failed.items():
            print(f"\n{peer} fails in {row}: {why}")
        return list(dict.fromkeys(self.missed))
