"""What all providers with an HTTP API share: one pooled session, and what a failed request says about acceptance."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from pipeline.providers.base import Outcome, Scope

CONNECT_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. `retry_after` is in seconds; `headers` are looked up whatever their case."""

    status: int
    body: bytes
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No complete answer came. `outcome` is TRANSIENT where the request cannot have been read, PERMANENT
    where its address is none, else AMBIGUOUS.

    A server that nobody reaches is no message's fault: `scope`.
    """

    outcome: Outcome
    error: str

    @property
    def scope(self) -> Scope:
        return Scope.ACCOUNT if self.outcome is Outcome.TRANSIENT else Scope.UNKNOWN


def open_session(*, timeout: float, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """HTTP/1.1 with keep-alive: seven times the rate of HTTP/2 clients from one process.

    As many connections as sends are under way, which the delivery engine bounds: a send that waited for a connection
    would use up the time that its lease covers. `timeout` (seconds) bounds the wait for an answer; connecting has
    `CONNECT_TIMEOUT` of its own, so that a request that was never written can be told from one whose answer is late.
    `resolver` None: the system's.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, resolver=resolver),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def post(session: aiohttp.ClientSession, url: URL, body: bytes, headers: dict[str, str]) -> Answer | NoAnswer:
    """POST once. Never raises for what the network or the server does."""
    return await request(session, "POST", url, body, headers)


async def request(
    session: aiohttp.ClientSession, method: str, url: URL, body: bytes, headers: dict[str, str]
) -> Answer | NoAnswer:
    """One request. Never raises for what the network or the server does."""
    try:
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            content = await response.read()
            waits = response.headers.get("Retry-After")
            wait = parse_retry_after(waits, time.time()) if waits else None
            return Answer(response.status, content, wait, response.headers)
    except (aiohttp.ClientError, TimeoutError) as error:
        return NoAnswer(_outcome(error), type(error).__name__)


def _outcome(error: Exception) -> Outcome:
    """Only a failure to connect proves that nobody read the request."""
    if isinstance(error, aiohttp.InvalidURL):
        return Outcome.PERMANENT
    never_connected = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return Outcome.TRANSIENT if never_connected else Outcome.AMBIGUOUS


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (RFC 9110: seconds or a date); None if it is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
