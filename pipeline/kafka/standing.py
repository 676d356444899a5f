"""What ``/healthz`` and ``/readyz`` say of one consumer: does Kafka answer, has the group let it in, does it poll?"""

import logging
import time
from collections.abc import Callable

from pipeline.observability.health import Health

logger = logging.getLogger(__name__)

STAND_BY = 10.0
"""Seconds without a partition, Kafka answering, after which a member counts as standing by for the others: under KIP-848
nobody is told that none is left for it (a group gives what it has within a session timeout)."""

RECHECK = 2.0
"""Seconds between two looks at a Kafka that is away, or gives nothing."""

JOINING = "in no group yet: no partitions assigned"

Tell = Callable[..., None]
"""Calls back in the event loop, without waiting."""


def part_of(topic: str) -> str:
    """The name of the part of a service's health that is its consumer of `topic`."""
    return f"kafka {topic}"


class Standing:
    """The part ``kafka <topic>`` of a service's health. Used by whoever owns the consumer, maybe in a thread of its own.

    Ready: Kafka answers, and the group has assigned partitions, if only none. Stuck: not polled for `limit` seconds.
    """

    def __init__(
        self, topic: str, health: Health, tell: Tell, *, limit: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._topic = topic
        self._part = part_of(topic)
        self._health = health
        self._tell = tell
        self._limit = limit
        self._clock = clock
        self._polled_at: float | None = None
        self._joined = False
        self._well = True
        self._away_since = self._looked_at = self._began = 0.0
        health.need(self._part)
        health.live_while(self._part, self._stuck)

    @property
    def well(self) -> bool:
        """Kafka answers, as far as we know, and we are a member of the group."""
        return self._well and self._joined

    def begin(self) -> None:
        """From now on it polls."""
        self._polled_at = self._looked_at = self._began = self._clock()
        self._tell(self._health.set, self._part, False, JOINING)

    def polled(self) -> None:
        self._polled_at = self._clock()

    def end(self) -> None:
        """It is meant to poll no more."""
        self._polled_at = None

    def joined(self) -> None:
        """The group has assigned it what is there for it."""
        if not self._joined:
            self._joined = True
            self._say(detail="")
        self.answers()

    def lost(self) -> None:
        """The group has given its partitions to others without asking: it has to join again."""
        self._joined = False
        self._began = self._clock()
        self._say(detail=JOINING)

    def answers(self) -> None:
        """Kafka answers (again)."""
        if not self._well:
            logger.info("reading %s again after %.1f s", self._topic, self._clock() - self._away_since)
            self._well = True
            self._say(detail="" if self._joined else JOINING)

    def away(self, why: str) -> None:
        """Kafka does not answer; what it is kept waiting for."""
        if self._well:
            logger.warning("%s; waiting, trying again", why)
            self._away_since = self._looked_at = self._clock()
        self._well = False
        self._say(detail=why)

    def should_look(self) -> bool:
        """Whether it is time to ask Kafka for a sign of life."""
        if self.well or self._clock() - self._looked_at < RECHECK:
            return False
        self._looked_at = self._clock()
        return True

    def looked(self) -> None:
        """Kafka gave that sign. A member that has been given nothing for long enough stands by."""
        self.answers()
        if not self._joined and self._clock() - self._began >= STAND_BY:
            self._joined = True
            self._say(detail="stands by: no partition is left for it")

    def _say(self, detail: str) -> None:
        self._tell(self._health.set, self._part, self.well, detail)

    def _stuck(self) -> str:
        polled_at = self._polled_at
        if polled_at is None or (silent := self._clock() - polled_at) <= self._limit:
            return ""
        return f"has not polled for {silent:.0f} s (limit {self._limit:.0f} s)"
