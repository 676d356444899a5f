"""What happens when the first of two SMS accounts fails: how soon the second takes over, and that nothing is lost.

``BENCH_FAILOVER`` messages (5,000) go to a worker whose first account is simulated Twilio and whose second is simulated
Vonage. It is warm, then the trouble begins, then all messages come at once. Raises if one is lost, or was accepted
twice without being flagged as in doubt.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from bench.cluster import bench_line, produce_all
from bench.dispatches import dispatch_record
from bench.figures import Figure, figure
from pipeline.config import KafkaSettings
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import TERMINAL, Channel, Status
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.kafka.reader import read_topics
from pipeline.storage.postgres import open_pool
from pipeline.testing.behaviour import Behaviour, Fault
from pipeline.testing.process import SimulatorProcess

MESSAGES = int(os.environ.get("BENCH_FAILOVER", "5000"))
WARM = 200
USERS = 1_000
WITHIN = 180.0
TIMEOUT = 2
"""Seconds that a provider's answer is waited for: what a slow one costs the first messages."""

CODEC = Codec.open()

Trouble = Callable[[SimulatorProcess], None]


def _behaves(behaviour: Behaviour) -> Trouble:
    return lambda first: first.behave(behaviour, Channel.SMS)


TROUBLES: dict[str, Trouble] = {
    "well": lambda _first: None,
    "dead": lambda first: first.__exit__(None, None, None),
    "slow": _behaves(Behaviour(delay_ms=20_000)),
    "throttling": _behaves(Behaviour(faults={Fault.THROTTLED: 1.0}, retry_after=60)),
    "answering 401": _behaves(Behaviour(faults={Fault.CONFIGURATION: 1.0})),
}


@dataclass
class Outcome:
    """What came of one round: seconds since its messages were produced."""

    switched: float = 0.0
    finished: float = 0.0
    sent_by: Counter[str] = field(default_factory=Counter)
    failed_first: int = 0
    flagged: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)


def run() -> list[Figure]:
    """Seconds until the account that serves has sent its first message, beside those of a first account that is well."""
    environment = {
        "PIPELINE_DELIVERY__PROVIDER_TIMEOUT": str(TIMEOUT),
        "PIPELINE_DELIVERY__LEASE": str(5 * TIMEOUT),
    }
    plan = Plan(simulators=None, workers=(), router=False, scheduler=False, environment=environment)
    with bench_line(plan) as line:
        asyncio.run(load_users(line.settings, USERS))
        users = asyncio.run(_with_phone(line))
        outcomes = {what: _round(line, users, what, trouble) for what, trouble in TROUBLES.items()}
    well = outcomes.pop("well").switched
    return [
        figure(f"failover.{what.replace(' ', '_')}", "s", outcome.switched, well, "first account well")
        for what, outcome in outcomes.items()
    ]


def _round(line: Line, users: Sequence[str], what: str, trouble: Trouble) -> Outcome:
    tag = what.replace(" ", "-")
    with SimulatorProcess("--seed", "1") as first, SimulatorProcess("--seed", "2") as second:
        line.environment["PIPELINE_SMS__PROVIDERS"] = json.dumps(
            [_account(first, "twilio"), _account(second, "vonage")]
        )
        worker = line.start(f"worker-{tag}", "worker", "--channel", "sms", "--priority", "normal")
        line.await_ready()
        kafka = line.settings.kafka
        produce_all(kafka, list(_dispatches(users, f"{tag}-warm", WARM)))
        _await(kafka, f"{tag}-warm-", WARM, time.time())
        trouble(first)
        began = time.time()
        produce_all(kafka, list(_dispatches(users, f"{tag}-run", MESSAGES)))
        outcome = _await(kafka, f"{tag}-run-", MESSAGES, began)
        worker.stop()
        del line.services[f"worker-{tag}"]
        accepted = Counter(second.received(Channel.SMS))
        if what != "dead":
            accepted += Counter(first.received(Channel.SMS))
    _check(what, outcome, accepted)
    return outcome


def _check(what: str, outcome: Outcome, accepted: Counter[str]) -> None:
    """Every message that is called sent was accepted, and none twice but those in doubt."""
    lost = outcome.sent - accepted.keys()
    twice = {notification for notification in outcome.sent if accepted[notification] > 1}
    print(
        f"  first {what}: first message out after {outcome.switched:.2f} s, all {MESSAGES} ended after "
        f"{outcome.finished:.2f} s; sent by {dict(outcome.sent_by)}; {outcome.failed_first} calls of the first failed; "
        f"lost {len(lost)}, twice {len(twice - outcome.flagged)}, in doubt and flagged {len(outcome.flagged)}",
        flush=True,
    )
    if lost or twice - outcome.flagged:
        raise Unavailable(f"{what}: {len(lost)} lost, {len(twice - outcome.flagged)} sent twice and not flagged")


def _await(kafka: KafkaSettings, prefix: str, count: int, began: float) -> Outcome:
    """Wait until each of the messages has ended, once."""
    deadline = time.monotonic() + WITHIN
    while True:
        statuses = list(_statuses(kafka, prefix, began))
        ended = [status for status in statuses if status.status in TERMINAL]
        if len(ended) >= count:
            return _outcome(statuses, ended, began)
        if time.monotonic() > deadline:
            raise Unavailable(f"{prefix}: {len(ended)} of {count} had ended after {WITHIN:g} s")
        time.sleep(0.5)


def _outcome(statuses: Sequence[DeliveryStatus], ended: Sequence[DeliveryStatus], began: float) -> Outcome:
    if len({status.notification_id for status in ended}) != len(ended):
        raise Unavailable("a message has ended twice")
    sent = [status for status in ended if status.status is Status.SENT]
    serving = Counter(str(status.provider) for status in sent).most_common(1)[0][0]
    by_serving = [status.occurred_at for status in sent if status.provider == serving]
    return Outcome(
        switched=min(by_serving) / 1000 - began,
        finished=max(status.occurred_at for status in ended) / 1000 - began,
        sent_by=Counter(str(status.provider) for status in sent),
        failed_first=sum(s.status is Status.RETRYING and s.provider == "first" for s in statuses),
        flagged={status.notification_id for status in sent if status.in_doubt},
        sent={status.notification_id for status in sent},
    )


def _statuses(kafka: KafkaSettings, prefix: str, since: float) -> Iterator[DeliveryStatus]:
    for messages in read_topics(kafka, [DELIVERY_STATUS], start=int((since - 60) * 1000)):
        for message in messages:
            status = CODEC.decode_status(value) if (value := message.value()) else None
            if status and status.idempotency_key.startswith(prefix):
                yield status


def _account(simulators: SimulatorProcess, provider: str) -> dict[str, object]:
    """The account at `provider` that these simulators have, called after its place in the list."""
    prefix = f"PIPELINE_PROVIDERS__{provider.upper()}__"
    own = {k.removeprefix(prefix).lower(): v for k, v in simulators.environment.items() if k.startswith(prefix)}
    return {"name": "first" if provider == "twilio" else "second", "provider": provider, "settings": own}


async def _with_phone(line: Line) -> list[str]:
    async with await open_pool(line.settings.postgres) as pool:
        rows = await pool.fetch("SELECT user_id FROM users WHERE phone IS NOT NULL ORDER BY user_id")
    return [row["user_id"] for row in rows]


def _dispatches(users: Sequence[str], tag: str, count: int) -> Iterator[Record]:
    everybody = cycle(users)
    for number in range(count):
        yield dispatch_record(next(everybody), f"{tag}-{number}", Channel.SMS)
