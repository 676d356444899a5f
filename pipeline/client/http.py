"""Over HTTP, to a gateway."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp

from pipeline.client.client import Outcome
from pipeline.client.event import Event, Receipt, as_json
from pipeline.client.retry import RETRIED, pause, seconds
from pipeline.errors import ClientError, EventRefused, NotAccepted

AT_ONCE = 100
"""Events in one request: what a gateway takes by default."""

ACCEPTED = 202


class Answer(NamedTuple):
    """What came back; `body` is None where it was no JSON."""

    status: int
    body: Any
    replayed: bool


class HttpTransport:
    """One session. `timeout` for one try, `patience` for all of them (s)."""

    def __init__(self, url: str, api_key: str, timeout: float, patience: float) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        if len(events) == 1:
            return [await self._one(events[0])]
        outcomes: list[Outcome] = []
        for start in range(0, len(events), AT_ONCE):
            outcomes += await self._list(events[start : start + AT_ONCE])
        return outcomes

    async def cancel(self, event: Event) -> None:
        query = (
            f"recipient_id={quote(event.recipient_id, safe='')}&idempotency_key={quote(event.idempotency_key, safe='')}"
        )
        answer = await self._ask("DELETE", f"/v1/events/{quote(event.event_id, safe='')}?{query}", None)
        if answer.status != ACCEPTED:
            raise _refused(answer)

    async def _one(self, event: Event) -> Outcome:
        try:
            answer = await self._ask("POST", "/v1/events", as_json(event.document()))
        except ClientError as error:
            return error
        if answer.status != ACCEPTED:
            return _refused(answer)
        return Receipt(answer.body["event_id"], answer.body["idempotency_key"], answer.replayed)

    async def _list(self, events: Sequence[Event]) -> list[Outcome]:
        """What the gateway could not take now goes again on its own; so does everything, where it took nothing."""
        try:
            answer = await self._ask("POST", "/v1/events", as_json([event.document() for event in events]))
        except NotAccepted as error:
            return [error] * len(events)
        except EventRefused:
            return await self._each(events)
        if answer.status != ACCEPTED:
            return await self._each(events) if answer.status in (400, 413) else [_refused(answer)] * len(events)
        outcomes = [_item(item) for item in answer.body["items"]]
        again = [index for index, outcome in enumerate(outcomes) if outcome is None]
        told = dict(zip(again, await self._each([events[index] for index in again]), strict=True))
        return [told[index] if outcome is None else outcome for index, outcome in enumerate(outcomes)]

    async def _each(self, events: Sequence[Event]) -> list[Outcome]:
        return list(await asyncio.gather(*(self._one(event) for event in events)))

    async def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        """The first answer that is final.

        Raises:
            NotAccepted: there was none within the patience.
        """
        until, tries = time.monotonic() + self._patience, 0
        while True:
            tries += 1
            answer, wait, why = await self._try(method, path, body)
            if answer is not None:
                return answer
            rest = pause(tries, wait, random.random())
            if time.monotonic() + rest >= until:
                raise NotAccepted(f"{self._url} did not accept it in {tries} tries: {why}; send the same event again")
            await asyncio.sleep(rest)

    async def _try(self, method: str, path: str, body: bytes | None) -> tuple[Answer | None, float | None, str]:
        """An answer that is final, or None, what the server asks to wait, and what was wrong."""
        if self._session is None:
            raise ClientError("the client is not open: use it as a context manager, `async with`")
        try:
            async with self._session.request(method, self._url + path, data=body) as response:
                content = await _content(response)
                if response.status in RETRIED:
                    return None, seconds(response.headers.get("Retry-After")), f"status {response.status}"
                replayed = response.headers.get("Idempotent-Replayed") == "true"
                return Answer(response.status, content, replayed), None, ""
        except aiohttp.InvalidURL as error:
            raise ClientError(f"{error} is no URL: it looks like https://notifications.example.com") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            return None, None, str(error) or type(error).__name__


async def _content(response: aiohttp.ClientResponse) -> Any:
    body = await response.read()
    try:
        return await response.json(content_type=None) if body else None
    except ValueError:
        return None


def _item(item: dict[str, Any]) -> Outcome | None:
    """None for what may be accepted another time."""
    status = item["status"]
    if status == ACCEPTED:
        return Receipt(item["event_id"], item["idempotency_key"], item["replayed"])
    return None if status in RETRIED else _refused(Answer(status, item["problem"], replayed=False))


def _refused(answer: Answer) -> EventRefused:
    said = answer.body if isinstance(answer.body, dict) else {}
    problems = [(str(fault["pointer"]).removeprefix("#"), str(fault["detail"])) for fault in said.get("errors", ())]
    return EventRefused(f"status {answer.status}: {said.get('detail', 'no reason given')}", answer.status, problems)
