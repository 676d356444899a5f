"""Takes the balance from a running cluster: reads the decisions and the delivery-status topic from end to end."""

import asyncio
from collections.abc import Iterator

from confluent_kafka import Message

from pipeline.accounts.balance import Balance, Since, Tally
from pipeline.accounts.facts import (
    DecidedEvent,
    Fact,
    event_of_decision,
    fact_of_dead_letter,
    fact_of_status,
    facts_of_decision,
)
from pipeline.accounts.ledger import Ledger
from pipeline.accounts.settle import settle
from pipeline.config import KafkaSettings, Settings
from pipeline.dlq.letters import Content, DeadLetter, read_content, units_of
from pipeline.dlq.scan import scan
from pipeline.errors import MalformedRecord
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.handled_topic import read_handled_if_any
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS, INGEST_DLQ, ROUTER_GROUP
from pipeline.kafka.reader import read_topics
from pipeline.observability.lag import OffsetReader, Offsets


def take_balance(settings: Settings, codec: Codec | None = None) -> Balance:
    """The balance now. Blocks while it reads; memory is bounded, disk is used (`TMPDIR`; figures: decision 0012).

    The statuses are read before the decisions, so that whatever has an outcome has its decision read too. A consumer
    group counts as finished when it had no lag before the reading and nothing came in until after it.

    Raises:
        Unavailable: Kafka or a topic is not there.
    """
    offsets = OffsetReader(settings.kafka)
    before = offsets.read()
    with Ledger() as ledger:
        books = _Books(codec or open_codec(settings.kafka), ledger)
        books.enter_letters(settings.kafka, [topic for topic, depth in before.depths.items() if depth])
        for topic in (DELIVERY_STATUS, DECISIONS):
            for batch in read_topics(settings.kafka, [topic]):
                books.enter(topic, batch)
        after = offsets.read()
        tally = Tally(lambda group: _finished(group, before, after), books.since(after))
        for facts in ledger.units():
            tally.add(settle(facts))
        return tally.balance(
            events=ledger.events(),
            rejected=after.depths[INGEST_DLQ],
            not_routed=after.of(ROUTER_GROUP).lag,
            unreadable=books.unreadable,
            lag={progress.group: progress.lag for progress in after.progress},
        )


def open_codec(kafka: KafkaSettings) -> Codec:
    """The codec that the settings ask for. Blocks, and may run in any thread that has no event loop.

    Raises:
        Unavailable: the schema registry cannot be reached.
        ConfigurationError: it lacks a schema of ours.
    """
    return Codec.open(asyncio.run(open_book(kafka)))


def _finished(group: str, before: Offsets, after: Offsets) -> bool:
    """Whether the router, and then `group`, had finished everything before the topics were read."""
    return all(before.of(g).lag == 0 and before.of(g) == after.of(g) for g in {ROUTER_GROUP, group})


def _facts_of_letter(letter: DeadLetter, content: Content) -> Iterator[Fact]:
    for unit in units_of(letter, content):
        yield fact_of_dead_letter(unit.notification_id, unit.channel, unit.priority, letter.reason, letter.at)


class _Books:
    """Enters records into the ledger, and notes the time of the first record in each partition of both topics."""

    def __init__(self, codec: Codec, ledger: Ledger) -> None:
        self._codec = codec
        self._ledger = ledger
        self._first: dict[str, dict[int, int]] = {DECISIONS: {}, DELIVERY_STATUS: {}}
        self.unreadable = 0

    def enter_letters(self, kafka: KafkaSettings, topics: list[str]) -> None:
        """The dead letters that are open, of `topics`."""
        if topics:
            for letters in scan(kafka, topics, read_handled_if_any(kafka)):
                read = [(letter, read_content(self._codec, letter)) for letter in letters]
                self._ledger.add([fact for letter, content in read for fact in _facts_of_letter(letter, content)])

    def enter(self, topic: str, batch: list[Message]) -> None:
        facts: list[Fact] = []
        events: list[DecidedEvent] = []
        for message in batch:
            try:
                if topic == DECISIONS:
                    self._decision(message, facts, events)
                else:
                    self._status(message, facts)
            except MalformedRecord:
                self.unreadable += 1
        self._ledger.add(facts, events)

    def _decision(self, message: Message, facts: list[Fact], events: list[DecidedEvent]) -> None:
        decision = self._codec.decode_decision(message.value())
        partition = message.partition() or 0
        self._first[DECISIONS].setdefault(partition, decision.decided_at)
        facts.extend(facts_of_decision(decision, partition))
        events.append(event_of_decision(decision))

    def _status(self, message: Message, facts: list[Fact]) -> None:
        status = self._codec.decode_status(message.value())
        partition = message.partition() or 0
        self._first[DELIVERY_STATUS].setdefault(partition, status.occurred_at)
        facts.append(fact_of_status(status, partition, message.offset() or 0))

    def since(self, offsets: Offsets) -> Since:
        return Since(self._beginnings(DECISIONS, offsets), self._beginnings(DELIVERY_STATUS, offsets))

    def _beginnings(self, topic: str, offsets: Offsets) -> dict[int, float]:
        first, lows = self._first[topic], offsets.lows[topic]
        return {partition: first.get(partition, float("inf")) for partition, low in enumerate(lows) if low > 0}
