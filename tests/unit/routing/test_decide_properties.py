"""What holds for every event, user and past."""

from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue.loader import parse_catalogue
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.decide import decide
from pipeline.routing.ruling import FIRST_SEEN, Claim, Ruling
from pipeline.users.snapshot import Device, PreferenceRow, Suppression, UserSnapshot

NOW = 1_750_000_000_000
CAP, WINDOW = 2, 60_000

CATALOGUE = parse_catalogue(
    """
version: "1"
defaults: {category: other, channels: [in_app]}
categories:
  other: {}
  news: {stream: marketing, consent: required}
caps: [{name: all, limit: 2, window: 1m, scope: [channel]}]
event_types:
  chat: {category: other, channels: [push, in_app], caps: [{name: chat, limit: 1, window: 30s, excess: defer}]}
  login: {category: other, channels: [push, email, sms], mandatory: true, ttl: 1h}
  offer: {category: news, channels: [email], priority_ceiling: normal, only_channels: [email, push]}
""",
    Path("catalogue.yaml"),
)

channels = st.sampled_from(Channel)
events = st.builds(
    NotificationRequested,
    event_id=st.just("e"),
    event_type=st.sampled_from(["chat", "login", "offer", "unlisted"]),
    recipient_id=st.just("anna"),
    channels=st.lists(channels, max_size=4),
    priority=st.sampled_from([None, *Priority]),
    data=st.just("{}"),
    idempotency_key=st.sampled_from([f"k{number}" for number in range(12)]),
    created_at=st.integers(NOW - 7_200_000, NOW),
    send_at=st.none() | st.integers(NOW - 1000, NOW + 1000),
    expires_at=st.none() | st.integers(NOW - 1000, NOW + 50_000_000),
)
rows = st.builds(
    PreferenceRow,
    channel=st.sampled_from([*Channel, "*"]),
    notif_type=st.sampled_from(["chat", "other", "news", "*"]),
    enabled=st.sampled_from([True, False, None]),
    quiet_start=st.none() | st.integers(0, 86_399),
    quiet_end=st.none() | st.integers(0, 86_399),
    timezone=st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu", "No/Where"]),
)
suppressions = st.builds(
    Suppression,
    channel=channels,
    stream=st.sampled_from(["*", "transactional", "marketing"]),
    reason=st.just("bounced"),
    expires_at=st.none() | st.integers(NOW - 10, NOW + 10),
)
users = st.builds(
    UserSnapshot,
    user_id=st.just("anna"),
    version=st.just(1),
    known=st.booleans(),
    email=st.sampled_from([None, "anna@example.com"]),
    phone=st.sampled_from([None, "+49151"]),
    locale=st.none(),
    timezone=st.sampled_from([None, "America/New_York"]),
    devices=st.sampled_from([[], [Device("d", "ios", "t")]]),
    preferences=st.lists(rows, max_size=4),
    consents=st.sampled_from([[], ["news"]]),
    suppressions=st.lists(suppressions, max_size=2),
)
claims = st.builds(Claim, duplicate=st.booleans(), cancelled=st.booleans())


def ask(
    event: NotificationRequested,
    user: UserSnapshot,
    claim: Claim = FIRST_SEEN,
    history: CapHistory | None = None,
    now: int = NOW,
    origin: Origin = Origin.INGEST,
) -> Ruling:
    history = CapHistory() if history is None else history
    return decide(event, {}, user, history, claim, CATALOGUE, now, origin, "default")


@given(events, users, claims, st.sampled_from(Origin))
def test_every_hinted_channel_gets_exactly_one_ruling(
    event: NotificationRequested, user: UserSnapshot, claim: Claim, origin: Origin
) -> None:
    ruling = ask(event, user, claim, origin=origin)
    ruled = [c.channel for c in ruling.channels]
    assert len(ruled) == len(set(ruled)) > 0
    if event.channels:
        assert set(ruled) == set(event.channels)


@given(events, users, claims)
def test_deciding_twice_gives_the_same_ruling(event: NotificationRequested, user: UserSnapshot, claim: Claim) -> None:
    history = CapHistory()
    first = ask(event, user, claim, history)
    assert ask(event, user, claim, CapHistory.unpack(history.pack())) == first


@given(events, users, claims, st.sampled_from(Origin))
def test_a_deferral_says_until_when_and_that_is_ahead_and_before_expiry(
    event: NotificationRequested, user: UserSnapshot, claim: Claim, origin: Origin
) -> None:
    ruling = ask(event, user, claim, origin=origin)
    for channel in ruling.channels:
        assert (channel.until is not None) == (channel.verdict is Verdict.DEFER)
        if channel.until is not None:
            assert channel.until > NOW
            assert ruling.expires_at is None or channel.until < ruling.expires_at


@given(st.lists(events, max_size=6), users)
def test_critical_is_never_held_by_quiet_hours_or_caps(events: list[NotificationRequested], user: UserSnapshot) -> None:
    history = CapHistory()
    for event in events:
        ruling = ask(event, user, history=history)
        if ruling.priority is Priority.CRITICAL:
            assert not [c for c in ruling.channels if c.rule == "quiet_hours" or c.rule.startswith("cap:")]


@given(events, users, claims)
def test_a_suppressed_address_is_never_used(event: NotificationRequested, user: UserSnapshot, claim: Claim) -> None:
    ruling = ask(event, user, claim)
    used = {c.channel for c in ruling.channels if c.verdict in (Verdict.DISPATCH, Verdict.DEFER)}
    for entry in user.suppressions:
        if entry.stream in ("*", ruling.stream) and (entry.expires_at is None or entry.expires_at > NOW):
            assert entry.channel not in used


@given(events, users, claims)
def test_marketing_never_reaches_who_did_not_consent(
    event: NotificationRequested, user: UserSnapshot, claim: Claim
) -> None:
    ruling = ask(event, user, claim)
    if ruling.category == "news" and "news" not in user.consents:
        assert not [c for c in ruling.channels if c.verdict in (Verdict.DISPATCH, Verdict.DEFER)]


@given(events, users, st.lists(suppressions, min_size=1, max_size=2))
def test_one_more_suppression_never_lets_more_through(
    event: NotificationRequested, user: UserSnapshot, more: list[Suppression]
) -> None:
    stricter = msgspec.structs.replace(user, suppressions=[*user.suppressions, *more])
    before, after = ask(event, user), ask(event, stricter)
    passed = {c.channel for c in before.channels if c.verdict is Verdict.DISPATCH}
    # A channel that is stopped earlier leaves its share of a cap to the others.
    freed = any(c.rule.startswith("cap:") for c in before.channels)
    assert freed or {c.channel for c in after.channels if c.verdict is Verdict.DISPATCH} <= passed


@settings(max_examples=60)
@given(st.lists(st.tuples(events, st.integers(0, 20_000), st.sampled_from(Origin)), max_size=30), users)
def test_no_sliding_window_ever_holds_more_than_the_cap(
    routed: list[tuple[NotificationRequested, int, Origin]], user: UserSnapshot
) -> None:
    """Some ids come again (released, replayed, routed again): each counts once within the window."""
    history, now = CapHistory(), NOW
    counted: dict[Channel, list[tuple[int, str]]] = {channel: [] for channel in Channel}
    for event, pause, origin in routed:
        now += pause
        history = CapHistory.unpack(history.pack())
        ruling = ask(msgspec.structs.replace(event, priority=Priority.HIGH), user, FIRST_SEEN, history, now, origin)
        for c in ruling.channels:
            recent = {id_ for at, id_ in counted[c.channel] if at > now - WINDOW}
            if c.verdict is Verdict.DISPATCH and c.notification_id not in recent:
                counted[c.channel].append((now, c.notification_id))
                assert len(recent) < CAP
