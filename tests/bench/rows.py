"""What is measured: the rows of the tables, and their goals."""

from dataclasses import dataclass, field

TCP, TLS, DURABLE, AUTOSAVE = "tcp", "tls", "durable", "autosave"  # how a broker is set up: brokers.py


# Goals in absolute figures: at most, or at least.
DURABLE_PER_SECOND_MIN = 100_000
DURABLE_CPU_S_MAX = 6      # per million
IDLE_KIB_MAX = 2560        # 2.5 MiB
PER_TCP_BYTES_MAX = 600
PER_TLS_BYTES_MAX = 20 * 1024
BACK_TO_IDLE_MAX = 1.2     # times idle, after all have left
START_MS_MAX = 10


@dataclass(frozen=True)
class Row:
    """One workload. The goals are what Gatehouse's CPU may be at most: of Mosquitto's, and times the floor's."""
    name: str
    title: str
    arguments: list = field(default_factory=list)  # of bench_load
    share: float | None = None
    times: float | None = None
    setup: str = TCP
    cpu_s_max: float | None = None     # per million
    per_second_min: float | None = None
    p99_not_above: bool = False  # Mosquitto's
    longer: int = 1  # times the seconds of the others


WORKS = [
    Row("fan-in", "fan-in 50 to 1, QoS 0, 64 B", ["fan-in"], 0.05, 2.3),
    Row("fan-in-one", "fan-in 200 to 1, one message each", ["fan-in", "--clients", "200", "--window", "1"], 0.50, 1.4),
    Row("fan-in-tls", "fan-in 50 to 1 in TLS 1.3, mutual", ["fan-in"], 0.12, setup=TLS),
    Row("fan-out", "fan-out 1 to 100, QoS 0, 64 B", ["fan-out"], 0.08, 2.0),
    Row("pairs-qos0", "50 pairs, QoS 0, 256 B", ["pairs"]),
    Row("pairs-qos1", "50 pairs, QoS 1, 256 B", ["pairs", "--qos", "1"], 0.06, 2.0),
    Row("pairs-qos1-v5", "50 pairs, QoS 1, 256 B, MQTT 5", ["pairs", "--qos", "1", "--mqtt", "5"], 0.06, 2.0),
    Row("pairs-qos2", "50 pairs, QoS 2, 256 B", ["pairs", "--qos", "2"], 0.06, 1.9),
    Row("wildcards", "50,000 wildcard filters, 3 match", ["wildcards"], 0.22),
    # At a fixed rate a second is few deliveries: a p99 of theirs would hang on a single hiccup of the machine.
    Row("round-trip", "round trips, 1,000/s", ["round-trip"], 0.60, longer=4),
    Row("open-loop", "open loop, 10,000/s", ["open-loop"], 0.90, p99_not_above=True, longer=4),
    Row("online-durable-qos1", "50 pairs, QoS 1, 256 B, durable, window 100",
        ["pairs", "--qos", "1", "--window", "100", "--durable"], setup=DURABLE,
        cpu_s_max=DURABLE_CPU_S_MAX, per_second_min=DURABLE_PER_SECOND_MIN),
]

# Ten pairs whose receivers are away. How much is queued differs: what Mosquitto needs for a message with autosave grows
# with their number.
OFFLINE = Row("offline-qos1", "QoS 1 to 10 durable sessions that are offline, 256 B, window 100", ["offline"])
QUEUED = {"gatehouse": 200_000, "mosquitto": 50_000, "autosave": 1_000}
MEMORY = Row("memory", "memory (PSS) and start", ["idle"])
MEMORY_TLS = Row("memory-tls", "memory (PSS) in TLS 1.3, mutual", ["idle"], setup=TLS)

ROWS = [*WORKS, OFFLINE, MEMORY, MEMORY_TLS]

FAULTS = ("lost", "doubled", "reordered", "astray", "damaged", "unacked")
