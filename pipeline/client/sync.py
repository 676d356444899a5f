"""The client for code without asyncio: the asynchronous one, on a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from pipeline.client.client import PATIENCE, TIMEOUT, AsyncClient, Outcome
from pipeline.client.event import Event, Receipt

T = TypeVar("T")


class Client:
    """Sends events; use it as a context manager, one for a process (made after a fork). Any thread may call it.

    Methods and errors are those of `AsyncClient`.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="notification-client", daemon=True)

    @classmethod
    def over_http(cls, url: str, api_key: str, *, timeout: float = TIMEOUT, patience: float = PATIENCE) -> Self:
        """As `AsyncClient.over_http`."""
        return cls(AsyncClient.over_http(url, api_key, timeout=timeout, patience=patience))

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
        """As `AsyncClient.over_kafka`."""
        return cls(
            AsyncClient.over_kafka(
                bootstrap_servers,
                schema_registry_url=schema_registry_url,
                options=options,
                source=source,
                patience=patience,
            )
        )

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._stop()

    def send(self, event: Event) -> Receipt:
        """As `AsyncClient.send`."""
        return self._run(self._client.send(event))

    def send_all(self, events: Sequence[Event]) -> list[Outcome]:
        """As `AsyncClient.send_all`."""
        return self._run(self._client.send_all(events))

    def cancel(self, event: Event) -> None:
        """As `AsyncClient.cancel`."""
        self._run(self._client.cancel(event))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
