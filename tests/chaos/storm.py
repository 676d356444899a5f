"""Traffic while things break, and what must be true once it is quiet again."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

import msgspec

from pipeline.accounts.balance import Balance
from pipeline.events.records import DeliveryStatus, NotificationRequested
from pipeline.events.vocabulary import Channel, Status
from pipeline.testing.traffic import Traffic
from pipeline.users.synthetic import generate_users
from tests.line.rig import Rig, Taken

USERS = 500
TICK = 0.05


class Feed:
    """Produces events at a steady rate in a thread of its own. Use as a context manager; leaving it waits for the end.

    Args:
        seconds: how long; events are `rate` a second.
        channels: what every event asks for instead of its own channels; None: its own.
    """

    def __init__(
        self, rig: Rig, *, rate: float, seconds: float, seed: int, channels: Sequence[Channel] | None = None
    ) -> None:
        users = generate_users(USERS, seed=7)
        rig.load(users)
        self.total = int(rate * seconds)
        self.produced = 0
        self._rig = rig
        self._rate = rate
        self._channels = channels
        self._traffic = Traffic([user.user_id for user in users], seed)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error:
            raise self._error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait_for(self, share: float) -> None:
        """Until this share (0 to 1) of all events is produced."""
        while self.running and self.produced < share * self.total:
            time.sleep(TICK)

    def _run(self) -> None:
        began = time.monotonic()
        try:
            while self.produced < self.total:
                due = min(self.total, int((time.monotonic() - began + TICK) * self._rate))
                self.produced += self._rig.produce([self._next() for _ in range(due - self.produced)])
                time.sleep(TICK)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error

    def _next(self) -> NotificationRequested:
        event = self._traffic.next(time.time_ns() // 1_000_000)
        return event if self._channels is None else msgspec.structs.replace(event, channels=list(self._channels))


class Verdict(msgspec.Struct, frozen=True):
    """What the topics and the providers say after a storm; empty and zero is what they should say, but for the flagged.

    `lost`: events that nobody decided. `unflagged`: notifications that a device got twice without a status that says
    so. `unsaid`: accepted by a provider, and neither sent nor in doubt by our account. `unsent`: sent by our account,
    and no provider has seen it.
    """

    balance: Balance
    lost: int
    unflagged: list[str]
    unsaid: list[str]
    unsent: list[str]
    in_doubt: int
    stall: float

    @property
    def ok(self) -> bool:
        return self.balance.ok and not (self.lost or self.unflagged or self.unsaid or self.unsent)


def judge(rig: Rig, produced: int, within: float = 90.0) -> Verdict:
    """Wait until it is quiet, and compare the accounts with what was produced and with what the providers saw."""
    balance = rig.settle(within)
    statuses = rig.statuses()
    taken = [summary for summary in rig.taken().values() if summary.accepted]
    told = {status.channel for status in statuses}
    sent = _ids(statuses, lambda s: s.status is Status.SENT and s.channel in (Channel.PUSH, Channel.EMAIL, Channel.SMS))
    doubted = _ids(statuses, lambda s: s.in_doubt)
    seen = _union(taken, lambda t: t.ids)
    assert told, "nothing was reported at all"
    return Verdict(
        balance=balance,
        lost=produced - balance.requests - balance.duplicates - balance.cancels,
        unflagged=sorted(_union(taken, lambda t: t.repeated) - doubted),
        unsaid=sorted(seen - sent - doubted),
        unsent=sorted(sent - seen),
        in_doubt=len(doubted),
        stall=longest_stall(statuses),
    )


def _ids(statuses: Sequence[DeliveryStatus], wanted: Callable[[DeliveryStatus], bool]) -> set[str]:
    return {status.notification_id for status in statuses if wanted(status)}


def _union(taken: Sequence[Taken], ids: Callable[[Taken], dict[str, int]]) -> set[str]:
    return {notification for summary in taken for notification in ids(summary)}


def longest_stall(statuses: Sequence[DeliveryStatus]) -> float:
    """Seconds between two outcomes, at most."""
    times = sorted(status.occurred_at for status in statuses)
    return max((b - a for a, b in itertools.pairwise(times)), default=0) / 1000
