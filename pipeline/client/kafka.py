"""Straight to the ingest topic, in Avro."""

import asyncio
from collections.abc import Sequence

from confluent_kafka import KafkaError

from pipeline.client.client import Outcome
from pipeline.client.event import Event, Receipt, as_json
from pipeline.config import KafkaSettings
from pipeline.errors import EventRefused, NotAccepted, Unavailable
from pipeline.events.canonical import CanonicalJson, InvalidEvent
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.events.vocabulary import Kind
from pipeline.kafka.client import ClientConfig, producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.topology import missing_topics


class KafkaTransport:
    """One idempotent producer: what it sends again after a lost answer is on the topic once."""

    def __init__(
        self,
        bootstrap_servers: str,
        schema_registry_url: str | None,
        options: ClientConfig,
        source: str,
        patience: float,
    ) -> None:
        self._kafka = KafkaSettings(
            bootstrap_servers=bootstrap_servers, schema_registry_url=schema_registry_url, client=options
        )
        self._source = source
        self._patience = patience
        self._producer: AsyncProducer | None = None

    async def open(self) -> None:
        """Look at the topic and the schema.

        Raises:
            NotAccepted: Kafka, the registry or the topic is not there.
            ConfigurationError: the registry does not have the schema of this version.
        """
        try:
            book = await open_book(self._kafka)
            if await asyncio.to_thread(missing_topics, self._kafka, [INGEST]):
                raise NotAccepted(f"there is no topic {INGEST} at {self._kafka.bootstrap_servers}")
        except Unavailable as error:
            raise NotAccepted(str(error)) from error
        self._codec = Codec.open(book)
        self._canonical = CanonicalJson(book.schema_of("NotificationRequested"))
        limit = {"message.timeout.ms": max(1, int(self._patience * 1000))}
        self._producer = AsyncProducer(producer_config(self._kafka, limit), flush_timeout=self._patience)

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.close()

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        return list(await asyncio.gather(*(self._one(event, Kind.REQUEST) for event in events)))

    async def cancel(self, event: Event) -> None:
        outcome = await self._one(event, Kind.CANCEL)
        if not isinstance(outcome, Receipt):
            raise outcome

    async def _one(self, event: Event, kind: Kind) -> Outcome:
        try:
            record = self._record(event, kind)
            await self._acknowledged(record)
        except InvalidEvent as error:
            return EventRefused("the event is not valid", problems=error.problems)
        except EventRefused as error:
            return error
        except Unavailable as error:
            return NotAccepted(f"{error}; send the same event again")
        return Receipt(event.event_id, event.idempotency_key)

    def _record(self, event: Event, kind: Kind) -> Record:
        document = {**event.document(kind), "source": event.source or self._source}
        parsed = self._canonical.parse(as_json(document))
        return Record(INGEST, parsed.recipient_id.encode(), self._codec.encode_event(parsed))

    async def _acknowledged(self, record: Record) -> None:
        if self._producer is None:
            raise Unavailable("the client is not open: use it as a context manager, `async with`")
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def report(error: KafkaError | None) -> None:
            if acknowledged.done():
                return
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(Unavailable(f"Kafka did not take it: {error.str()}"))

        await self._producer.send(record, report)
        await acknowledged
