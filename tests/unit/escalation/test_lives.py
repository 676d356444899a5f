"""Whole lives of events of a type with steps: decided, released, decided again, until every channel has its end."""

import heapq
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue.loader import parse_catalogue
from pipeline.catalogue.model import Catalogue
from pipeline.escalation.judge import MOST_SLACK
from pipeline.escalation.standing import Standing
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Reason, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.decide import decide
from pipeline.routing.ruling import FIRST_SEEN
from pipeline.users.snapshot import Device, PreferenceRow, UserSnapshot

NOW = 1_750_000_000_000
MINUTE = 60_000
PUSH, EMAIL, SMS, IN_APP = Channel.PUSH, Channel.EMAIL, Channel.SMS, Channel.IN_APP
AFTER = {PUSH: 10 * MINUTE, SMS: 60 * MINUTE}

CATALOGUE: Catalogue = parse_catalogue(
    """
version: "1"
defaults: {category: other}
categories: {other: {}}
event_types:
  alert:
    category: other
    channels: [sms, push, in_app, email]
    steps:
      - {channel: push, after: 10m}
      - {channel: sms, after: 1h}
""",
    Path("catalogue.yaml"),
)


@dataclass
class Life:
    """What became of one event: for each channel its rulings, in order, with their times."""

    user: UserSnapshot
    event: NotificationRequested
    seen_at: int | None
    rulings: dict[Channel, list[tuple[int, Verdict, Reason]]] = field(default_factory=dict)
    waits: dict[Channel, int] = field(default_factory=dict)
    went: dict[Channel, int] = field(default_factory=dict)
    history: CapHistory = field(default_factory=CapHistory)

    def run(self) -> None:
        due: list[tuple[int, str]] = []
        self._decide(self.event, NOW, Origin.INGEST, due)
        for _ in range(60):
            if not due:
                return
            now, name = heapq.heappop(due)
            channel = Channel(name)
            standings = {c: self._standing(c, now) for c in Channel if c != channel and c in self.rulings}
            self.waits.pop(channel)
            released = msgspec.structs.replace(self.event, channels=[channel])
            self._decide(released, now, Origin.RELEASED, due, standings)
        raise AssertionError("it goes round and round")

    def _decide(
        self,
        event: NotificationRequested,
        now: int,
        origin: Origin,
        due: list[tuple[int, str]],
        standings: dict[Channel, Standing] | None = None,
    ) -> None:
        ruling = decide(
            event, {}, self.user, self.history, FIRST_SEEN, CATALOGUE, now, origin, "default", standings
        )  # fmt: skip
        for c in ruling.channels:
            self.rulings.setdefault(c.channel, []).append((now, c.verdict, c.reason))
            if c.until is not None:
                self.waits[c.channel] = c.until
                heapq.heappush(due, (c.until, c.channel.value))
            elif c.verdict is Verdict.DISPATCH:
                self.went[c.channel] = now

    def _standing(self, channel: Channel, now: int) -> Standing:
        went, waits = self.went.get(channel), self.waits.get(channel)
        seen = self.seen_at if went is not None and self.seen_at is not None and went <= self.seen_at <= now else None
        return Standing(went if waits is None else waits, waits is not None, went is not None, seen)

    @property
    def ends(self) -> dict[Channel, tuple[int, Verdict, Reason]]:
        return {channel: rulings[-1] for channel, rulings in self.rulings.items()}


rows = st.builds(
    PreferenceRow,
    channel=st.sampled_from([*Channel, "*"]),
    notif_type=st.just("*"),
    enabled=st.sampled_from([True, False, None, None]),
    quiet_start=st.none() | st.integers(0, 86_399),
    quiet_end=st.integers(0, 86_399),
    timezone=st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu"]),
)
users = st.builds(
    UserSnapshot,
    user_id=st.just("ann"),
    version=st.just(1),
    known=st.just(True),
    email=st.sampled_from([None, "ann@example.com"]),
    phone=st.sampled_from([None, "+49151"]),
    devices=st.sampled_from([[], [Device("d", "ios", "t")]]),
    preferences=st.lists(rows, max_size=3),
)
events = st.builds(
    NotificationRequested,
    event_id=st.just("e"),
    event_type=st.just("alert"),
    recipient_id=st.just("ann"),
    channels=st.lists(st.sampled_from(Channel), max_size=4),
    priority=st.none(),
    data=st.just("{}"),
    idempotency_key=st.just("k"),
    created_at=st.just(NOW),
    send_at=st.none() | st.integers(NOW, NOW + 600 * MINUTE),
    expires_at=st.none() | st.integers(NOW + 1, NOW + 3000 * MINUTE),
)
lives = st.builds(Life, users, events, st.none() | st.integers(NOW, NOW + 2000 * MINUTE))


@settings(deadline=None)
@given(lives)
def test_every_channel_of_the_event_comes_to_exactly_one_end(life: Life) -> None:
    life.run()
    named = life.event.channels or [SMS, PUSH, IN_APP, EMAIL]
    assert set(life.rulings) == set(named)
    for rulings in life.rulings.values():
        *before, last = rulings
        assert {verdict for _, verdict, _ in before} <= {Verdict.DEFER}
        assert last[1] is not Verdict.DEFER


@settings(deadline=None)
@given(lives)
def test_no_step_goes_before_its_wait_after_every_earlier_channel_is_over(life: Life) -> None:
    life.run()
    for channel, earlier in ((PUSH, (IN_APP, EMAIL)), (SMS, (IN_APP, EMAIL, PUSH))):
        for before in earlier:
            if channel in life.went and before in life.went:
                slack = min(AFTER[channel] // 10, MOST_SLACK)
                assert life.went[channel] >= life.went[before] + AFTER[channel] - slack


@settings(deadline=None)
@given(lives)
def test_nothing_goes_after_it_was_seen_and_only_that_cancels(life: Life) -> None:
    life.run()
    for channel, (at, verdict, reason) in life.ends.items():
        seen_by = [c for c, went in life.went.items() if life.seen_at is not None and went <= life.seen_at <= at]
        if verdict is Verdict.CANCEL:
            assert (reason, channel in AFTER, bool(seen_by)) == (Reason.SEEN, True, True)
        elif verdict is Verdict.DISPATCH and channel in AFTER:
            assert not [c for c in seen_by if c not in AFTER or (channel, c) == (SMS, PUSH)]


@settings(deadline=None)
@given(lives)
def test_without_rules_of_its_own_a_step_is_deferred_once(life: Life) -> None:
    life.run()
    if not life.user.preferences and life.event.expires_at is None and life.seen_at is None:
        for rulings in life.rulings.values():
            assert len(rulings) <= 2
