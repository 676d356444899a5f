"""A running line as a test handles it: users, events, the providers' own view, and the wait until all is quiet."""

import asyncio
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from pipeline.accounts.balance import Balance
from pipeline.accounts.take import take_balance
from pipeline.config import Settings
from pipeline.embedded.line import Line
from pipeline.embedded.processes import Child
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import DeliveryStatus, NotificationRequested
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, worker_group
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.reader import read_topics
from pipeline.observability.lag import OffsetReader
from pipeline.storage.bulk import bulk_load
from pipeline.storage.postgres import open_pool
from pipeline.storage.redis import open_redis
from pipeline.testing.behaviour import Behaviour
from pipeline.testing.control import CONTROL_VARIABLE
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot

QUIET_WITHIN = 60.0
POLL = 0.1


class Taken(msgspec.Struct, frozen=True):
    """What one channel's provider says that it accepted; `repeated`: what a recipient was sent more than once."""

    accepted: int
    notifications: int
    duplicates: int
    ids: dict[str, int]
    repeated: dict[str, int]


class _Accepted(msgspec.Struct, frozen=True):
    accepted: int


class Mail(msgspec.Struct, frozen=True):
    """A mail as it arrived, decoded."""

    headers: dict[str, str]
    text: str
    html: str


class Rig:
    """Handles one line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.settings: Settings = line.settings
        self.codec = Codec.open()
        self._offsets = OffsetReader(self.settings.kafka)

    def service(self, name: str) -> Child:
        return self.line.services[name]

    def load(self, users: Sequence[UserSnapshot]) -> None:
        async def load() -> None:
            settings = self.settings
            async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
                await bulk_load(pool, users, UserDirectory(pool, redis).changed)

        asyncio.run(load())

    def produce(self, events: Iterable[NotificationRequested]) -> int:
        """How many events Kafka has acknowledged."""
        records = [Record(INGEST, e.recipient_id.encode(), self.codec.encode_event(e)) for e in events]
        self.produce_raw(records)
        return len(records)

    def produce_raw(self, records: Sequence[Record]) -> None:
        async def produce() -> None:
            async with AsyncProducer(producer_config(self.settings.kafka)) as producer:
                await producer.send_all(records)

        asyncio.run(produce())

    def lag(self, *groups: str) -> int:
        """Records that these consumer groups (none named: all) have not finished."""
        progress = self._offsets.read().progress
        return sum(p.lag for p in progress if not groups or p.group in groups)

    def settle(self, within: float = QUIET_WITHIN) -> Balance:
        """The balance once nothing is on its way any more.

        Raises:
            Unavailable: after `within` seconds something still is; says what, and what the services wrote last.
        """
        deadline = time.monotonic() + within
        while True:
            if not self.lag() and (balance := take_balance(self.settings)).quiet:
                return balance
            if time.monotonic() > deadline:
                raise Unavailable(f"not quiet after {within:g} s\n{self._state()}")
            time.sleep(POLL)

    def taken(self) -> dict[str, Taken]:
        """What each provider accepted, by channel."""
        return msgspec.json.decode(self._control("received?ids=1"), type=dict[str, Taken])

    def accepted(self, channel: str) -> int:
        """How many requests the channel's provider has accepted; cheap."""
        return msgspec.json.decode(self._control("received"), type=dict[str, _Accepted])[channel].accepted

    def mails(self) -> list[Mail]:
        return msgspec.json.decode(self._control("mails"), type=list[Mail])

    def behave(self, behaviour: Behaviour, channel: Channel | None = None) -> None:
        """How the providers behave from now on."""
        self._control("behaviour", msgspec.json.encode({"behaviour": behaviour, "channel": channel}))

    def statuses(self) -> list[DeliveryStatus]:
        """The whole delivery-status topic."""
        batches = read_topics(self.settings.kafka, [DELIVERY_STATUS])
        return [self.codec.decode_status(message.value()) for batch in batches for message in batch]

    def settle_groups(self, *groups: str, within: float = 30.0) -> int:
        """What these consumer groups have left, once that is nothing or the time is over."""
        deadline = time.monotonic() + within
        while (left := self.lag(*groups)) and time.monotonic() < deadline:
            time.sleep(POLL)
        return left

    def _state(self) -> str:
        behind = [f"{p.group}: {p.finished} of {p.ends}" for p in self._offsets.read().progress if p.lag]
        logs = [f"{name} wrote last:\n{child.log_tail()}" for name, child in self.line.services.items()]
        return "\n".join([*behind, *logs])

    def _control(self, what: str, body: bytes | None = None) -> bytes:
        url = f"{self.line.environment[CONTROL_VARIABLE]}/_control/{what}"
        with urllib.request.urlopen(url, body, timeout=10) as answer:  # noqa: S310 - our own simulator
            content: bytes = answer.read()
            return content


def worker_groups(channel: Channel) -> list[str]:
    return [worker_group(channel, priority) for priority in Priority]


def differences(before: Balance, after: Balance) -> Mapping[str, int]:
    """How much each figure of the balance has grown."""
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return {name: value - old[name] for name, value in new.items() if isinstance(value, int)}


def wait_until(true: Callable[[], bool], what: str, within: float = 30.0, poll: float = 0.02) -> None:
    """Wait for it.

    Raises:
        Unavailable: it is not true after `within` seconds.
    """
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise Unavailable(f"after {within:g} s still not so: {what}")
        time.sleep(poll)
