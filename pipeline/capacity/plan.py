"""From a load and what was measured to partitions, replicas, brokers, memory and disk, each with its reason. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pipeline.capacity.figures import Figure, Figures
from pipeline.capacity.load import DAY_SECONDS, Load
from pipeline.config import DeliverySettings, PostgresSettings, RouterSettings
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import DECISIONS, DEFERRED, DELIVERY_STATUS, DISPATCH_TOPICS, INGEST, dispatch_topic
from pipeline.kafka.topology_files import Topic

BUSY = 0.5
"""Share of what a process can that the peak may take: the other half works off what gathered during an outage."""

AT_LEAST = 2
"""Replicas of a service, for one to be away."""

GROWTH = 4
"""Times the replicas of today that partitions leave room for: adding partitions later breaks the order of users."""

STEPS = (3, 6, 12, 24, 48, 96, 192, 384)
"""Numbers of partitions: each has many divisors, so that replicas share them evenly."""

COPIES = 3
"""Replicas of a record (``topics/defaults.yaml``)."""

BROKER_BYTES = 30e6
"""Bytes a second, replication in it, that a broker with one ordinary disk is given: a third of what such disks bear."""

BROKER_DISK = 1e12
"""Bytes of log on one broker: moving more to a new one takes a working day."""

DISK_ROOM = 1.4
"""Logs are deleted by whole segments, tables vacuumed late, and nobody wants an alarm at the planned load."""

REDIS_ROOM = 1.6
"""Fragmentation, client buffers, and the copy that a snapshot or a rewrite of the append-only file makes."""

REDIS_NODE = 16 * 2**30
"""Bytes of one Redis node: more takes minutes to load after a restart, and all of its users wait."""

CONNECTIONS = 500
"""What one PostgreSQL serves with ease. A pooler between must leave sessions alone: LISTEN and advisory locks are used."""


class Line(msgspec.Struct, frozen=True):
    """One thing to provide: how much, and why."""

    what: str
    amount: float
    unit: str
    because: str


class Plan(msgspec.Struct, frozen=True):
    """`partitions`: by topic. `replicas`: by Deployment. `figures`: what it rests on."""

    lines: list[Line]
    partitions: dict[str, int]
    replicas: dict[str, int]
    figures: list[Figure]


def plan_capacity(load: Load, figures: Figures, topics: Sequence[Topic]) -> Plan:
    """What `load` needs. `topics` as their files have them, for their retention."""
    return _Planner(load, figures, topics).plan()


class _Planner:
    def __init__(self, load: Load, figures: Figures, topics: Sequence[Topic]) -> None:
        self._load = load
        self._figures = figures
        self._retention = {t.name: int(t.settings.get("retention.ms", -1)) / 1000 / DAY_SECONDS for t in topics}
        self._lines: list[Line] = []
        self._partitions: dict[str, int] = {}
        self._replicas: dict[str, int] = {}

    def plan(self) -> Plan:
        load = self._load
        self._note("events at the peak", load.events, "events/s", f"{load.per_day:,.0f} a day × {load.peak:g}")
        because = f"{load.fan_out:g} notifications an event ({_shares(load.channels)})"
        self._note("notifications at the peak", load.notifications, "notifications/s", because)
        self._services()
        self._workers()
        self._waiting()
        self._brokers()
        self._redis()
        self._postgres()
        return Plan(self._lines, self._partitions, self._replicas, list(self._figures.values()))

    def _note(self, what: str, amount: float, unit: str, because: str) -> None:
        self._lines.append(Line(what, amount, unit, because))

    def _value(self, name: str) -> float:
        return self._figures[name].value

    def _replicas_for(self, service: str, rate: float, each: float, why: str, unit: str) -> int:
        """So many that the peak takes `BUSY` of them."""
        count = max(AT_LEAST, math.ceil(rate / (each * BUSY)))
        self._replicas[service] = count
        self._note(
            service, count, "replicas", f"{rate:,.0f} {unit} ÷ ({each:,.0f} {why} × {BUSY:g}), at least {AT_LEAST}"
        )
        return count

    def _services(self) -> None:
        events = self._load.events
        statuses = self._load.notifications * self._value("size.statuses")
        routes, stores, takes = (self._value(name) for name in ("router.rate_vs_naive", "store.copy", "gateway.rate"))
        router = self._replicas_for("router", events, routes, "a process routes", "events/s")
        store = self._replicas_for("store", statuses, stores, "rows a process stores", "statuses/s")
        self._replicas_for("gateway", events, takes, "a process takes", "requests/s, were all sent by HTTP")
        shared = partitions_for(max(router, store))
        self._partitions |= dict.fromkeys((INGEST, DECISIONS, DELIVERY_STATUS), shared)
        because = (
            f"{max(router, store)} readers × {GROWTH} to grow, the next of {_steps()}; equal, so that equal users meet"
        )
        self._note("partitions of ingest, decisions, delivery-status", shared, "each", because)

    def _workers(self) -> None:
        for channel, share in self._load.channels.items():
            for priority in self._load.priorities:
                self._worker(channel, priority, self._load.events * share * self._load.priorities[priority])
        most = max(self._partitions.get(topic, 0) for topic in DISPATCH_TOPICS)
        because = f"readers × {GROWTH} to grow, the next of {_steps()}; --json names each"
        self._note("partitions of each channel × priority", most, "at most", because)

    def _worker(self, channel: Channel, priority: Priority, rate: float) -> None:
        if not rate:
            return
        limits = [(self._value("worker.smtp" if channel is Channel.EMAIL else "worker.fcm"), "a process sends")]
        if channel is not Channel.IN_APP:
            under_way = DeliverySettings().concurrency
            why = f"with {under_way} under way for {self._load.provider_seconds:g} s each"
            limits.append((under_way / self._load.provider_seconds, why))
        count = self._replicas_for(f"worker {channel} {priority}", rate, *min(limits), "notifications/s")
        self._partitions[dispatch_topic(channel, priority)] = partitions_for(count)

    def _waiting(self) -> None:
        self._replicas["scheduler"] = AT_LEAST
        self._note("scheduler", AT_LEAST, "replicas", "PostgreSQL paces the releases; a second for one to be away")
        self._partitions[DEFERRED] = partitions_for(AT_LEAST)

    def _brokers(self) -> None:
        rows = list(self._logs())
        rate = sum(per_day for _, per_day, _ in rows) / DAY_SECONDS * self._load.peak
        stored = sum(per_day * days for _, per_day, days in rows) * COPIES * DISK_ROOM
        because = " + ".join(f"{name} {per_day / 1e9:,.2f} GB/day × {days:g} d" for name, per_day, days in rows)
        self._note(
            "broker disk, all together", stored / 1e9, "GB", f"({because}) × {COPIES} copies × {DISK_ROOM:g} room"
        )
        count = max(COPIES, math.ceil(rate * COPIES / BROKER_BYTES), math.ceil(stored / BROKER_DISK))
        because = (
            f"the most of: {COPIES} copies, {rate * COPIES / 1e6:,.1f} MB/s written ÷ {BROKER_BYTES / 1e6:g}, "
            f"{stored / 1e12:,.2f} TB ÷ {BROKER_DISK / 1e12:g}; before lz4, which about halves it"
        )
        self._note("brokers", count, "", because)

    def _logs(self) -> Iterator[tuple[str, float, float]]:
        """Topic, bytes a day, days kept."""
        events, notifications = self._load.per_day, self._load.per_day * self._load.fan_out
        statuses = notifications * self._value("size.statuses")
        dispatch = max(self._retention[topic] for topic in DISPATCH_TOPICS)
        yield "ingest", events * self._value("size.ingest"), self._retention[INGEST]
        yield "dispatch", notifications * self._value("size.dispatch"), dispatch
        yield "decisions", events * self._value("size.decision"), self._retention[DECISIONS]
        yield "delivery-status", statuses * self._value("size.status"), self._retention[DELIVERY_STATUS]

    def _redis(self) -> None:
        router, delivery = RouterSettings(), DeliverySettings()
        kept = self._load.per_day * self._load.fan_out * delivery.retention / DAY_SECONDS
        cached = self._load.events * (router.snapshot_ttl + router.snapshot_stale_ttl)
        users = min(cached, self._load.users if self._load.users is not None else self._load.per_day)
        need = (kept * self._value("size.redis") + users * self._value("size.redis_user")) * REDIS_ROOM
        because = (
            f"({kept:,.0f} notifications in {delivery.retention / 3600:g} h × {self._value('size.redis'):,.0f} B + "
            f"{users:,.0f} cached users × {self._value('size.redis_user'):,.0f} B) × {REDIS_ROOM:g} room"
        )
        self._note("Redis memory, all together", need / 2**30, "GiB", because)
        nodes = math.ceil(need / REDIS_NODE)
        if nodes > 1:
            nodes = max(3, nodes)
            self._note("Redis Cluster", nodes, "primaries", f"{REDIS_NODE / 2**30:g} GiB each, and a replica of each")
        else:
            self._note("Redis", 1, "primary", "it fits into one, with a replica to take over")

    def _postgres(self) -> None:
        rows = self._load.per_day * self._load.fan_out * self._load.keep_days
        need = rows * self._value("size.store") * DISK_ROOM
        because = f"{rows:,.0f} notifications in {self._load.keep_days:g} d × {self._value('size.store'):,.0f} B × {DISK_ROOM:g} room"
        self._note("PostgreSQL disk", need / 1e9, "GB", because)
        processes, pool = sum(self._replicas.values()), PostgresSettings().pool_size
        need = processes * pool
        advice = "; lower postgres.pool_size, for each connection costs the server memory" if need > CONNECTIONS else ""
        self._note("PostgreSQL connections", need, "at most", f"{processes} processes × {pool}{advice}")


def partitions_for(replicas: int) -> int:
    """The number that leaves `GROWTH` times the replicas room."""
    wanted = replicas * GROWTH
    return next((step for step in STEPS if step >= wanted), math.ceil(wanted / STEPS[-1]) * STEPS[-1])


def _steps() -> str:
    return ", ".join(map(str, STEPS[:4])) + " …"


def _shares(channels: Mapping[Channel, float]) -> str:
    return ", ".join(f"{channel} {share:g}" for channel, share in channels.items())
