"""One connected client's events, whatever carries them: what is published joined with what the inbox holds."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter

from pipeline.errors import Unavailable
from pipeline.realtime.messages import Frame
from pipeline.realtime.track import Track
from pipeline.storage.inbox_feed import PAGE, Head, InboxFeed

FIRST_LOOK = 2.0
"""Seconds that a client waits for PostgreSQL before it is connected without a cursor: what is published still comes."""

PATIENCE = 0.25, 5.0
"""Shortest and longest wait, in seconds, until the inbox is tried again."""


class Why(StrEnum):
    """Why this side ends a connection."""

    SLOW = "slow"
    EXPIRED = "expired"
    DRAINED = "drained"


class Ended(Exception):
    """The connection is to be ended, and the client to come back after `retry` seconds."""

    def __init__(self, why: Why, retry: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose connection it is, over which transport, and when their token expires (seconds since 1970)."""

    user_id: str
    transport: str
    expires_at: float


class Feed:
    """The events of one connection. `wake` is called whenever there is something to take.

    `begin` once, then `take` again and again, by one task.
    """

    def __init__(self, caller: Caller, track: Track, inbox: InboxFeed, caught_up: Counter) -> None:
        self.caller = caller
        self.track = track
        self.wake: Callable[[], None] = _nothing
        self._inbox = inbox
        self._caught_up = caught_up
        self._end: Ended | None = None

    @property
    def cursor(self) -> str | None:
        """What a client that has everything taken so far names when it comes back."""
        return None if self.track.last is None else str(self.track.last)

    async def begin(self, after: int | None) -> Head | None:
        """Find out where the client stands: after the place it names, or at the head of its inbox, as it is now.

        A place beyond the head is of another inbox (one that was erased, or restored from a backup): all of this one is
        wanted. None: PostgreSQL is away; who named no place has no cursor then until the first entry is published.
        """
        try:
            async with asyncio.timeout(FIRST_LOOK):
                head = await self._inbox.head(self.caller.user_id)
        except (Unavailable, TimeoutError):
            head = None
        if after is not None:
            self.track.begin(0 if head and after > head.place else after)
            self.track.suspect()
        elif head is not None:
            self.track.begin(head.place)
        return head

    def offer(self, frame: Frame) -> None:
        """A frame for this user was published."""
        self.track.offer(frame)
        if self.track.busy:
            self.wake()

    def suspect(self, place: int | None = None) -> None:
        """Something may have been published that was not heard; see `Track.suspect`."""
        self.track.suspect(place)
        if self.track.busy:
            self.wake()

    def end(self, why: Why, retry: float = 0.0) -> None:
        """Have `take` raise `Ended`."""
        if self._end is None:
            self._end = Ended(why, retry)
        self.wake()

    async def take(self) -> list[Frame]:
        """What comes next, in order; empty: nothing for now.

        Raises:
            Ended: this side ends the connection.
        """
        delay, longest = PATIENCE
        while True:
            if self._end is not None:
                raise self._end
            if self.track.overflowed:
                raise Ended(Why.SLOW)
            if frames := self.track.take():
                return frames
            if not self.track.behind:
                return []
            if not await self._catch_up():
                await asyncio.sleep(delay * random.uniform(0.5, 1))
                delay = min(2 * delay, longest)

    async def _catch_up(self) -> bool:
        """Read a page of the inbox; whether that went well."""
        track = self.track
        assert track.last is not None
        claim = track.ask()
        try:
            items = await self._inbox.after(self.caller.user_id, track.last)
        except Unavailable:
            track.failed(claim)
            return False
        except BaseException:
            track.failed(claim)
            raise
        frames = [Frame("notification", item.data, item.place) for item in items]
        track.answered(claim, frames, more=len(items) == PAGE)
        self._caught_up.inc(len(frames))
        return True


def _nothing() -> None:
    pass


class Doorbell:
    """Lets a task wait until its feed has something."""

    def __init__(self, feed: Feed) -> None:
        self._rung = asyncio.Event()
        feed.wake = self._rung.set

    async def wait(self, seconds: float) -> bool:
        """Until it rings, or until the time is up; whether it rang."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True
