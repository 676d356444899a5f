"""Who is connected to this instance, and what reaches them."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.config import RealtimeSettings
from pipeline.gateway.problems import Refused, unavailable
from pipeline.observability.metrics import Metrics
from pipeline.realtime.feed import Caller, Feed, Why
from pipeline.realtime.messages import Malformed, read_message
from pipeline.realtime.track import Track
from pipeline.storage.inbox_feed import InboxFeed

AT_ONCE = 1_000
"""Users whose inboxes are compared in one query."""

LONGEST_RETRY = 10.0
"""Seconds within which clients that are sent away come back."""


class Hub:
    """The feeds of all connections, by user. `clock`: seconds since 1970."""

    def __init__(
        self,
        settings: RealtimeSettings,
        inbox: InboxFeed,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._metrics = metrics
        self._clock = clock
        self._feeds: dict[str, list[Feed]] = {}
        self._size = 0
        self.draining = False

    def __len__(self) -> int:
        return self._size

    @property
    def users(self) -> list[str]:
        """Who has a connection here."""
        return list(self._feeds)

    def join(self, caller: Caller) -> Feed:
        """A feed for a new connection; from now on nothing that is published passes it by. `leave` ends it.

        Raises:
            Refused: 429, the user has too many connections; 503, this instance has, or is being stopped.
        """
        self.check_room(self._size)
        feeds = self._feeds.setdefault(caller.user_id, [])
        if len(feeds) >= self._settings.max_connections_per_user:
            raise Refused(429, "The user has too many connections: close some.", headers={"Retry-After": "10"})
        track = Track(self._settings.queue, self._settings.queue_bytes)
        feed = Feed(caller, track, self._inbox, self._metrics.realtime_caught_up)
        feeds.append(feed)
        self._size += 1
        self._metrics.realtime_connections.labels(caller.transport).inc()
        return feed

    def check_room(self, connections: int) -> None:
        """Let one more in, beside so many.

        Raises:
            Refused: 503, this instance has too many, or is being stopped.
        """
        if self.draining:
            raise unavailable("This instance is being stopped.")
        if connections >= self._settings.max_connections:
            raise unavailable("This instance has as many connections as it takes.", retry_after=5)

    def leave(self, feed: Feed) -> None:
        """The connection is gone; doing it again is harmless."""
        user_id = feed.caller.user_id
        feeds = self._feeds.get(user_id, [])
        if feed not in feeds:
            return
        feeds.remove(feed)
        self._size -= 1
        self._metrics.realtime_connections.labels(feed.caller.transport).dec()
        if not feeds:
            del self._feeds[user_id]

    @contextmanager
    def joined(self, caller: Caller) -> Iterator[Feed]:
        """`join`, and `leave` at the end of the context."""
        feed = self.join(caller)
        try:
            yield feed
        finally:
            self.leave(feed)

    def publish(self, raw: bytes) -> None:
        """A message was heard on the Redis channel."""
        try:
            user_id, frame = read_message(raw)
        except Malformed:
            self._metrics.realtime_messages.labels("malformed").inc()
            return
        feeds = self._feeds.get(user_id)
        self._metrics.realtime_messages.labels("delivered" if feeds else "nobody").inc()
        for feed in feeds or ():
            feed.offer(frame)

    def suspect(self) -> None:
        """Messages may have passed unheard: every inbox is to be looked at."""
        for feed in self._all():
            feed.suspect()

    async def sweep(self) -> None:
        """Find clients that lack what their inbox has: what was stored and never published, or lost on the way.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        users = self.users
        for start in range(0, len(users), AT_ONCE):
            for user_id, place in (await self._inbox.last_places(users[start : start + AT_ONCE])).items():
                for feed in self._feeds.get(user_id, ()):
                    if feed.track.last is not None and feed.track.last < place and not feed.track.behind:
                        feed.suspect(place)

    def end_expired(self) -> None:
        """End connections whose token has expired."""
        now = self._clock()
        for feed in self._all():
            if feed.caller.expires_at <= now:
                feed.end(Why.EXPIRED)

    async def drain(self) -> None:
        """Let nobody in any more and send everybody away, one after the other, each to come back at another time."""
        self.draining = True
        feeds = self._all()
        random.shuffle(feeds)
        pause = min(1 / self._settings.drain_rate, self._settings.drain_timeout / max(1, len(feeds)))
        began = asyncio.get_running_loop().time()
        for number, feed in enumerate(feeds, 1):
            feed.end(Why.DRAINED, retry=random.uniform(0, min(LONGEST_RETRY, 1 + len(feeds) * pause)))
            ahead = began + number * pause - asyncio.get_running_loop().time()
            if ahead > 0.01:
                await asyncio.sleep(ahead)

    def count_end(self, why: Why) -> None:
        """Whoever carries a feed that ended says so."""
        self._metrics.realtime_ended.labels(why).inc()

    def _all(self) -> list[Feed]:
        return [feed for feeds in self._feeds.values() for feed in feeds]
