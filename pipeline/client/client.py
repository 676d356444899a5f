"""The client for asyncio."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from pipeline.client.event import Event, Receipt
from pipeline.errors import ClientError

PATIENCE = 30.0
TIMEOUT = 5.0

Outcome = Receipt | ClientError


class Transport(Protocol):
    """One way to send. Every method tries until `patience` is over."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def send(self, events: Sequence[Event]) -> list[Outcome]: ...
    async def cancel(self, event: Event) -> None: ...


class AsyncClient:
    """Sends events; use it as an async context manager, one for a process: it keeps its connections."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def over_http(cls, url: str, api_key: str, *, timeout: float = TIMEOUT, patience: float = PATIENCE) -> Self:
        """To a gateway at `url`, with a key of scope ``ingest``.

        One try takes at most `timeout` seconds. What may be accepted the next time (no connection, 429, 503, …) is tried
        again, with the same key and growing pauses, for `patience` seconds.
        """
        from pipeline.client.http import HttpTransport

        return cls(HttpTransport(url, api_key, timeout, patience))

    @classmethod
    def over_kafka(
        cls,
        bootstrap_servers: str,
        *,
        schema_registry_url: str | None = None,
        options: Mapping[str, str | int | float | bool] | None = None,
        source: str = "",
        patience: float = PATIENCE,
    ) -> Self:
        """Straight to the ingest topic, for `patience` seconds; librdkafka does the retries.

        `options` are librdkafka's (SASL, TLS). `source` names this service in its events. Events are checked against the
        schema here, their `data` against the catalogue's schema only by the router: what is wrong there is dead-lettered.
        """
        from pipeline.client.kafka import KafkaTransport

        return cls(KafkaTransport(bootstrap_servers, schema_registry_url, dict(options or {}), source, patience))

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    async def send(self, event: Event) -> Receipt:
        """Return once Kafka has acknowledged it.

        Raises:
            EventRefused: it is wrong, or not allowed; says what to change.
            NotAccepted: patience is over; send the same event again.
        """
        (outcome,) = await self._transport.send([event])
        if isinstance(outcome, ClientError):
            raise outcome
        return outcome

    async def send_all(self, events: Sequence[Event]) -> list[Outcome]:
        """One outcome for each event, in order: a receipt, or the error that `send` would have raised."""
        return await self._transport.send(list(events)) if events else []

    async def cancel(self, event: Event) -> None:
        """Take an event back: what is not delivered yet will not be.

        Raises:
            EventRefused, NotAccepted: as `send`.
        """
        await self._transport.cancel(event)
