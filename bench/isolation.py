"""What trouble of one costs the others: the same traffic with and without it, 99th percentiles of one run.

The phases take turns, so that whatever else the machine does falls on both; a figure is the median of its phases, for
a machine that stands still for a second decides a 99th percentile. A latency is the time from the event's
``created_at`` to the provider's acceptance, both from the status record.
"""

import asyncio
import os
import random
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import msgspec
from confluent_kafka import Message

from bench.cluster import bench_line, produce_all
from bench.dispatches import dispatch_record
from bench.figures import Figure, figure
from bench.worker import one_device_users, service_account
from pipeline.config import KafkaSettings
from pipeline.demo.latency import percentiles
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.servers import free_port
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import TERMINAL, Channel, Priority, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, worker_group
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.reader import read_topics
from pipeline.observability.lag import OffsetReader
from pipeline.testing.behaviour import Behaviour, Fault
from pipeline.testing.control import CONTROL_VARIABLE

USERS = 3_000
RATE = int(os.environ.get("BENCH_RATE", "60"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
WARM_UP = 1.0
"""Seconds at the beginning of a phase that do not count: a new producer connects."""
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
BACKLOG = int(os.environ.get("BENCH_BACKLOG", "20000"))
HOT = int(os.environ.get("BENCH_HOT", "10000"))
PROVIDER_MS = 30
"""How long the provider takes to answer: what a push service on another continent takes."""

CODEC = Codec.open()

Make = Callable[[str, str], Record]
"""The record of one notification, by its key and user."""


def run() -> list[Figure]:
    """99th percentiles in ms, with the trouble (ours) and without (peer)."""
    return [_provider_down(), *_on_one_worker()]


def _provider_down() -> Figure:
    """Push while e-mail is dead, through the router: both channels get every event."""
    plan = Plan(workers=(Channel.PUSH, Channel.EMAIL))
    quiet: list[float] = []
    down: list[float] = []
    with bench_line(plan) as line:
        asyncio.run(load_users(line.settings, USERS))
        users = asyncio.run(one_device_users(line))
        line.await_ready()
        _measure(line, users, "warm", _security_event)
        for number in range(ROUNDS):
            _behave(line, Behaviour())
            _settle(line, Channel.EMAIL)
            quiet.append(_measure(line, users, f"quiet{number}", _security_event))
            _behave(line, Behaviour(faults={Fault.UNAVAILABLE: 1.0}))
            down.append(_measure(line, users, f"down{number}", _security_event))
    return figure("isolation.provider_down", "ms", median(down), median(quiet), "push p99 while e-mail is well")


def _on_one_worker() -> list[Figure]:
    """One worker process for all priorities of push, before a provider that takes `PROVIDER_MS`."""
    port = free_port()
    server = {"PIPELINE_PROVIDERS__FCM__BASE_URL": f"http://127.0.0.1:{port}"}
    with bench_line(Plan(simulators=None, workers=(), router=False, environment=server)) as line:
        line.stack.supervisor.python("fast-server", "-m", "bench.fast_server", str(port), str(PROVIDER_MS))
        line.environment["PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT"] = str(service_account(line, port))
        asyncio.run(load_users(line.settings, USERS))
        users = asyncio.run(one_device_users(line))
        line.start("worker-push", "worker", "--channel", "push")
        line.await_ready()
        _measure(line, users, "warm", _dispatch(Priority.CRITICAL))
        return [_backlog(line, users), _hot_user(line, users)]


def _backlog(line: Line, users: Sequence[str]) -> Figure:
    """Critical while low has a backlog that lasts longer than the phase."""
    critical, low = _dispatch(Priority.CRITICAL), _dispatch(Priority.LOW)
    quiet: list[float] = []
    busy: list[float] = []
    rnd = random.Random(1)
    for number in range(ROUNDS):
        quiet.append(_measure(line, users, f"quiet{number}", critical))
        keys = [f"low{number}-{n}" for n in range(BACKLOG // ROUNDS)]
        produce_all(line.settings.kafka, [low(key, rnd.choice(users)) for key in keys])
        busy.append(_measure(line, users, f"busy{number}", critical))
        _settle(line, Channel.PUSH)
    return figure("isolation.backlog", "ms", median(busy), median(quiet), "critical p99 without a backlog of low")


def _hot_user(line: Line, users: Sequence[str]) -> Figure:
    """Everybody else while one user has `HOT` messages. These take minutes, so this phase is the last."""
    normal = _dispatch(Priority.NORMAL)
    hot, others = users[0], users[1:]
    quiet = [_measure(line, others, f"calm{n}", normal) for n in range(ROUNDS)]
    produce_all(line.settings.kafka, [normal(f"hot-{n}", hot) for n in range(HOT)])
    crowded = [_measure(line, others, f"hot{n}", normal) for n in range(ROUNDS)]
    return figure("isolation.hot_user", "ms", median(crowded), median(quiet), "p99 without a hot user")


def _measure(line: Line, users: Sequence[str], tag: str, make: Make) -> float:
    """The 99th percentile (ms) of what was sent of steady traffic for `SECONDS`, once all of it has ended."""
    began = int(time.time() * 1000)
    expected = int(RATE * SECONDS)
    asyncio.run(_produce_steadily(line.settings.kafka, users, tag, make, expected))
    deadline = time.monotonic() + 60
    while True:
        found = dict(_latencies(line.settings.kafka, f"{tag}-", began))
        if len(found) >= expected:
            steady = [latency for number, latency in found.items() if latency is not None and number >= RATE * WARM_UP]
            found_out = percentiles(steady)
            assert found_out is not None
            print(f"  {tag}: {found_out}", flush=True)
            return found_out.p99
        if time.monotonic() > deadline:
            raise Unavailable(f"{tag}: {len(found)} of {expected} had ended after a minute")
        time.sleep(0.5)


async def _produce_steadily(kafka: KafkaSettings, users: Sequence[str], tag: str, make: Make, count: int) -> None:
    rnd = random.Random(tag)
    async with AsyncProducer(producer_config(kafka, {"linger.ms": 0})) as producer:
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            await producer.send(make(f"{tag}-{number}", rnd.choice(users)), lambda _error: None)


def _latencies(kafka: KafkaSettings, prefix: str, since: int) -> Iterable[tuple[int, float | None]]:
    """By number, once for each that has ended; None: it was not sent (some users' addresses are suppressed)."""
    for messages in read_topics(kafka, [DELIVERY_STATUS], start=since):
        for status in map(CODEC.decode_status, _values(messages)):
            ours = status.idempotency_key.startswith(prefix) and status.channel is Channel.PUSH
            if ours and status.status in TERMINAL:
                sent = status.status is Status.SENT
                number = int(status.idempotency_key.removeprefix(prefix))
                yield number, float(status.occurred_at - status.created_at) if sent else None


def _values(messages: Sequence[Message]) -> Iterable[bytes]:
    return (value for message in messages if (value := message.value()))


def _settle(line: Line, channel: Channel) -> None:
    """Wait until the channel's groups have nothing left."""
    groups = {worker_group(channel, priority) for priority in Priority}
    deadline = time.monotonic() + 300
    while sum(p.lag for p in OffsetReader(line.settings.kafka).read().progress if p.group in groups):
        if time.monotonic() > deadline:
            raise Unavailable(f"{channel} has still something left after five minutes")
        time.sleep(0.5)


def _behave(line: Line, behaviour: Behaviour) -> None:
    body = msgspec.json.encode({"behaviour": behaviour, "channel": Channel.EMAIL})
    url = f"{line.environment[CONTROL_VARIABLE]}/_control/behaviour"
    with urllib.request.urlopen(url, body, timeout=10):  # noqa: S310 - our own simulator
        return


def _security_event(key: str, user: str) -> Record:
    """Mandatory and critical: it reaches those too who turned a channel off, at any hour."""
    event = _event(key, user, "security.bench", [Channel.PUSH, Channel.EMAIL], Priority.CRITICAL)
    return Record(INGEST, user.encode(), CODEC.encode_event(event))


def _dispatch(priority: Priority) -> Make:
    def make(key: str, user: str) -> Record:
        return dispatch_record(user, key, Channel.PUSH, priority)

    return make


def _event(key: str, user: str, kind: str, channels: list[Channel], priority: Priority) -> NotificationRequested:
    return NotificationRequested(
        event_id=f"evt_{key}",
        event_type=kind,
        recipient_id=user,
        channels=channels,
        priority=priority,
        data=f'{{"order_id":"{key}","tracking_url":"https://example.com/track/{key}"}}',
        idempotency_key=key,
        created_at=time.time_ns() // 1_000_000,
        source="bench",
    )
