"""Who the user is when their turn comes: works whose user cannot be looked up wait in their lane, the lanes of others go on."""

from collections.abc import Awaitable, Callable

from pipeline.delivery.ports import Clock, Directory
from pipeline.delivery.work import Work
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.redis import REDIS_AWAY
from pipeline.users.directory import Found
from pipeline.users.snapshot import UserSnapshot

LOOK_AGAIN = 0.5
"""Seconds until a work's user is looked up again."""

FRESH = 0.1
"""Seconds for which what was found of a user counts when the turn of a work comes: who stood in line for longer may have
been suppressed, or erased, meanwhile."""

SEND = b"send"

Step = Callable[[Work], Awaitable[float | None]]


def recipient(found: Found, user_id: str, record: Inbound) -> UserSnapshot | None:
    """The user, if a send may go by what was found: a copy past its time only where the router has said so."""
    user = found.known.get(user_id)
    if user is None and user_id in found.stale and header(record.headers, Header.WHEN_USERS_AWAY) == SEND:
        return found.stale[user_id]
    return user


class Strangers:
    """The step before the first: find out who the user is. Nothing is sent to somebody of whom nothing is known."""

    def __init__(self, directory: Directory, step: Step, clock: Clock) -> None:
        self._directory = directory
        self._step = step
        self._clock = clock
        self._looks: Coalescer[Work, UserSnapshot | None] = Coalescer(self._look)

    async def step(self, work: Work) -> float | None:
        """`step`, once the user is known; until then the seconds after which to look again."""
        if work.recipient is None or self._clock.monotonic() - work.looked_up_at > FRESH:
            asked_at = self._clock.monotonic()
            try:
                found = await self._looks.call(work)
            except REDIS_AWAY:
                return LOOK_AGAIN
            if found is None or found != work.recipient:
                work.recipient, work.parts = found, None
            if found is None:
                return LOOK_AGAIN
            work.looked_up_at = asked_at
        return await self._step(work)

    async def _look(self, works: list[Work]) -> list[UserSnapshot | None]:
        found = await self._directory.find({work.dispatch.event.recipient_id for work in works})
        return [recipient(found, work.dispatch.event.recipient_id, work.record) for work in works]
