"""Waiting for a server that is away: try again for ever, say so once in a while, say when it is back."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pipeline.observability.health import Health
from pipeline.observability.redaction import redact

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def until_available(
    what: str,
    operation: Callable[[], Awaitable[T]],
    *,
    away: tuple[type[BaseException], ...],
    health: Health,
    where: str = "",
    base: float = 0.1,
    cap: float = 5.0,
    log_every: float = 10.0,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> T:
    """The result of `operation`, tried until it raises none of `away`; what else it raises goes through.

    Keeps ``health``'s part `what` current. `where` is the address for the log line (credentials are taken out). The
    wait doubles from `base` to `cap` seconds and is shortened by up to a half, so that many processes do not come
    back at once. Logs when the server is first missed, then every `log_every` seconds, and when it is back.
    """
    absence = _Absence(f"{what} at {redact(where)}" if where else what, clock, log_every)
    delay = base
    while True:
        try:
            result = await operation()
        except away as error:
            health.set(what, ok=False, detail=absence.note(error))
        else:
            health.set(what, ok=True)
            absence.over()
            return result
        await sleep(delay * (1 - jitter() / 2))
        delay = min(delay * 2, cap)


class _Absence:
    """One absence of one server: when it began and when it was last spoken of."""

    def __init__(self, name: str, clock: Callable[[], float], log_every: float) -> None:
        self._name = name
        self._clock = clock
        self._log_every = log_every
        self._since: float | None = None
        self._logged_at = 0.0

    def note(self, error: BaseException) -> str:
        now = self._clock()
        text = f"cannot reach {self._name}: {redact(str(error)) or type(error).__name__}"
        if self._since is None or now - self._logged_at >= self._log_every:
            logger.warning("%s; waiting, trying again", text)
            self._logged_at = now
        self._since = now if self._since is None else self._since
        return text

    def over(self) -> None:
        if self._since is not None:
            logger.info("%s is back after %.1f s", self._name, self._clock() - self._since)
