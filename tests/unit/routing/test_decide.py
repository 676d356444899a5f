"""Each rule and each reason, by name. What holds for every input stands in ``test_decide_properties.py``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.catalogue.loader import parse_catalogue
from pipeline.errors import MalformedRecord
from pipeline.events.ids import notification_id
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.decide import UnknownTypes, decide
from pipeline.routing.ruling import FIRST_SEEN, ChannelRuling, Claim, EarlierRuling, Ruling
from pipeline.users.snapshot import Device, PreferenceRow, Suppression, UserSnapshot, unknown_user

NOW = int(datetime(2025, 6, 1, 21, 30, tzinfo=UTC).timestamp()) * 1000  # 23:30 in Berlin
HOUR = 3_600_000
PUSH, EMAIL, SMS, IN_APP = Channel.PUSH, Channel.EMAIL, Channel.SMS, Channel.IN_APP

CATALOGUE = parse_catalogue(
    """
version: "7"
defaults: {category: other, priority: low, channels: [in_app]}
categories:
  other: {}
  orders: {}
  marketing: {stream: marketing, consent: required}
caps:
  - {name: flood, limit: 100, window: 1h}
event_types:
  order.shipped:
    category: orders
    priority: high
    channels: [push, email]
    template: order_shipped
    templates: {sms: order_shipped_short}
    collapse_key: "order-{data.order_id}"
    ttl: 24h
  order.checked:
    category: orders
    channels: [email]
    schema: {type: object, required: [order_id], properties: {order_id: {type: string, maxLength: 3}}}
  order.silent: {category: orders}
  order.*: {category: orders, channels: [in_app]}
  news: {category: marketing, channels: [email], priority_ceiling: normal}
  alarm: {category: orders, priority: critical, channels: [push], caps: [{name: alarm, limit: 1, window: 5m}]}
  login: {category: orders, mandatory: true, channels: [push]}
  comment:
    category: other
    channels: [push]
    caps: [{name: comment, limit: 1, window: 5m, scope: [type, channel]}]
  reply:
    category: other
    channels: [push]
    caps: [{name: reply, limit: 1, window: 5m, excess: defer}]
  like:
    category: other
    channels: [push]
    caps: [{name: like, limit: 1, window: 5m}]
    digest: {type: likes, key: "{data.post}", window: 10m}
  likes: {category: other, channels: [push]}
  desk: {category: other, only_channels: [email, in_app], channels: [email]}
  payment:
    category: orders
    channels: [push]
    priority_ceiling: high
    escalate:
      - {when: {card.blocked: [true]}, priority: critical}
""",
    Path("catalogue.yaml"),
)


def event(event_type: str = "order.shipped", **changes: Any) -> NotificationRequested:
    plain = NotificationRequested(
        event_id="evt-1",
        event_type=event_type,
        recipient_id="anna",
        channels=[],
        priority=None,
        data="{}",
        idempotency_key="key-1",
        created_at=NOW - 1000,
    )
    return msgspec.structs.replace(plain, **changes)


def anna(**changes: Any) -> UserSnapshot:
    user = UserSnapshot(
        user_id="anna",
        version=1,
        known=True,
        email="anna@example.com",
        phone="+4915100000000",
        timezone="Europe/Berlin",
        devices=[Device("phone", "android", "token")],
    )
    return msgspec.structs.replace(user, **changes)


def ask(
    event: NotificationRequested,
    user: UserSnapshot | None = None,
    *,
    data: dict[str, object] | None = None,
    history: CapHistory | None = None,
    claim: Claim = FIRST_SEEN,
    now: int = NOW,
    origin: Origin = Origin.INGEST,
    unknown_types: UnknownTypes = "dead_letter",
) -> Ruling:
    history = CapHistory() if history is None else history
    return decide(event, data or {}, user or anna(), history, claim, CATALOGUE, now, origin, unknown_types)


def only(ruling: Ruling) -> ChannelRuling:
    assert len(ruling.channels) == 1
    return ruling.channels[0]


def said(ruling: Ruling) -> tuple[Verdict, Reason, str]:
    channel = only(ruling)
    return channel.verdict, channel.reason, channel.rule


def row(
    channel: str = "*", notif_type: str = "*", enabled: bool | None = None, quiet: str = "", zone: str | None = None
) -> PreferenceRow:
    start, end = (int(hour) * 3600 for hour in quiet.split("-")) if quiet else (None, None)
    return PreferenceRow(channel, notif_type, enabled, start, end, zone)


NIGHT = row(quiet="22-7")
MORNING = int(datetime(2025, 6, 2, 5, tzinfo=UTC).timestamp()) * 1000  # 07:00 in Berlin


class TestWhatIsDispatched:
    def test_what_no_rule_holds_is_dispatched_on_every_channel_of_its_type(self) -> None:
        ruling = ask(event(), data={"order_id": "A1"})

        assert [(c.channel, c.verdict, c.reason, c.rule) for c in ruling.channels] == [
            (PUSH, Verdict.DISPATCH, Reason.ALLOWED, "allowed"),
            (EMAIL, Verdict.DISPATCH, Reason.ALLOWED, "allowed"),
        ]
        assert ruling.channels[0].notification_id == notification_id("key-1", "anna", "push")
        assert (ruling.category, ruling.stream, ruling.priority) == ("orders", "transactional", Priority.HIGH)
        assert (ruling.template, ruling.collapse_key, ruling.unrouted) == ("order_shipped", "order-A1", None)
        assert ruling.expires_at == NOW - 1000 + 24 * HOUR

    def test_hints_win_over_the_catalogue_and_each_counts_once(self) -> None:
        ruling = ask(event(channels=[SMS, IN_APP, SMS]))
        assert [c.channel for c in ruling.channels] == [SMS, IN_APP]

    def test_a_hint_beyond_only_channels_is_suppressed_and_not_forgotten(self) -> None:
        ruling = ask(event("desk", channels=[SMS, EMAIL]))
        assert [(c.channel, c.verdict, c.reason) for c in ruling.channels] == [
            (SMS, Verdict.SUPPRESS, Reason.CHANNEL_NOT_ALLOWED),
            (EMAIL, Verdict.DISPATCH, Reason.ALLOWED),
        ]

    def test_a_channel_may_have_its_own_template_and_the_event_overrides_all(self) -> None:
        by_catalogue = ask(event(channels=[PUSH, SMS]))
        assert [c.template for c in by_catalogue.channels] == ["order_shipped", "order_shipped_short"]
        by_event = ask(event(channels=[PUSH, SMS], template="special"))
        assert [c.template for c in by_event.channels] == ["special", "special"]
        assert by_event.template == "special"

    def test_the_events_own_collapse_key_and_expiry_win(self) -> None:
        ruling = ask(event(collapse_key="mine", expires_at=NOW + 5), data={"order_id": "A1"})
        assert (ruling.collapse_key, ruling.expires_at) == ("mine", NOW + 5)

    def test_without_the_field_of_its_collapse_key_it_replaces_nothing(self) -> None:
        assert ask(event()).collapse_key is None

    def test_time_to_live_starts_when_it_is_to_be_sent(self) -> None:
        assert ask(event(send_at=NOW + 48 * HOUR)).expires_at == NOW + 72 * HOUR


class TestPriority:
    @pytest.mark.parametrize(
        ("event_type", "asked", "data", "expected", "given_by"),
        [
            ("order.shipped", None, {}, Priority.HIGH, "catalogue"),
            ("order.shipped", Priority.LOW, {}, Priority.LOW, "event"),
            ("order.shipped", Priority.CRITICAL, {}, Priority.CRITICAL, "event"),
            ("payment", Priority.CRITICAL, {}, Priority.HIGH, "ceiling"),
            ("payment", Priority.LOW, {"card": {"blocked": True}}, Priority.CRITICAL, "escalation"),
            ("payment", None, {"card": {"blocked": 1}}, Priority.NORMAL, "catalogue"),
            ("payment", None, {"card": "blocked"}, Priority.NORMAL, "catalogue"),
        ],
    )
    def test_the_event_asks_the_ceiling_binds_and_escalation_has_the_last_word(
        self, event_type: str, asked: Priority | None, data: dict[str, object], expected: Priority, given_by: str
    ) -> None:
        ruling = ask(event(event_type, priority=asked), data=data)
        assert (ruling.priority, ruling.inputs["priority"]) == (expected, given_by)


class TestWholeEvent:
    def test_data_against_the_schema_is_malformed_and_told_without_its_value(self) -> None:
        with pytest.raises(MalformedRecord, match=r"^data/order_id: .*order\.checked") as caught:
            ask(event("order.checked"), data={"order_id": "secret"})
        assert caught.value.reason is Reason.INVALID_DATA
        assert "secret" not in str(caught.value)

    def test_an_unknown_type_is_dead_lettered_suppressed_or_given_the_defaults(self) -> None:
        unknown = event("weather.storm", channels=[PUSH])
        with pytest.raises(MalformedRecord, match=r"weather\.storm.*not in the catalogue") as caught:
            ask(unknown, unknown_types="dead_letter")
        assert caught.value.reason is Reason.UNKNOWN_TYPE
        assert said(ask(unknown, unknown_types="suppress")) == (Verdict.SUPPRESS, Reason.UNKNOWN_TYPE, "unknown_type")
        ruling = ask(unknown, unknown_types="default")
        assert (only(ruling).verdict, ruling.category, ruling.priority) == (Verdict.DISPATCH, "other", Priority.LOW)

    def test_an_unknown_type_without_hints_takes_the_channels_of_the_defaults_or_is_unrouted(self) -> None:
        assert only(ask(event("weather.storm"), unknown_types="default")).channel is IN_APP
        ruling = ask(event("weather.storm"), unknown_types="suppress")
        assert (ruling.channels, ruling.unrouted, ruling.rule) == ([], Reason.UNKNOWN_TYPE, "unknown_type")

    def test_without_any_channel_the_event_is_unrouted(self) -> None:
        ruling = ask(event("order.silent"))
        assert (ruling.channels, ruling.unrouted, ruling.rule) == ([], Reason.NO_CHANNEL, "no_channel")

    def test_a_duplicate_is_one_on_every_channel_and_leaves_nothing_to_account_for(self) -> None:
        claim = Claim(duplicate=True, cancelled=True)
        assert said(ask(event("alarm"), claim=claim)) == (Verdict.DUPLICATE, Reason.DUPLICATE, "duplicate")
        assert ask(event("order.silent"), claim=claim).unrouted is None

    def test_what_was_taken_back_is_cancelled_even_when_it_was_waiting(self) -> None:
        for origin in Origin:
            ruling = ask(event("alarm"), claim=Claim(cancelled=True), origin=origin)
            assert said(ruling) == (Verdict.CANCEL, Reason.CANCELLED, "cancelled")

    @pytest.mark.parametrize("origin", [Origin.RELEASED, Origin.REPLAYED])
    def test_what_comes_back_is_no_duplicate_of_itself(self, origin: Origin) -> None:
        ruling = ask(event("alarm"), claim=Claim(duplicate=True), origin=origin)
        assert only(ruling).verdict is Verdict.DISPATCH

    @pytest.mark.parametrize("origin", [Origin.RELEASED, Origin.REPLAYED])
    def test_what_comes_back_twice_in_one_round_is_decided_the_same_way_twice(self, origin: Origin) -> None:
        again = [EarlierRuling(PUSH, Verdict.DEFER, Reason.QUIET_HOURS, NOW + HOUR, NOW)]
        ruling = ask(event("alarm"), claim=Claim(earlier=again), now=NOW + 2 * HOUR, origin=origin)
        assert (only(ruling).verdict, only(ruling).until) == (Verdict.DEFER, NOW + HOUR)

    def test_what_has_expired_is_not_sent_not_even_critical(self) -> None:
        ruling = ask(event("alarm", expires_at=NOW))
        assert said(ruling) == (Verdict.EXPIRE, Reason.EXPIRED, "expired")
        assert only(ask(event("alarm", expires_at=NOW + 1))).verdict is Verdict.DISPATCH

    def test_what_outlived_its_types_time_to_live_is_expired(self) -> None:
        ruling = ask(event(channels=[PUSH], created_at=NOW - 24 * HOUR))
        assert said(ruling) == (Verdict.EXPIRE, Reason.EXPIRED, "expired")

    @pytest.mark.parametrize("event_type", ["order.shipped", "weather.storm"])
    def test_a_cancel_has_no_channels_whatever_its_data(self, event_type: str) -> None:
        ruling = ask(event(event_type, kind=Kind.CANCEL, channels=[PUSH]), claim=Claim(duplicate=True))
        assert (ruling.kind, ruling.channels, ruling.rule, ruling.unrouted) == (Kind.CANCEL, [], "cancel_request", None)


class TestRoutedAgain:
    EARLIER = (
        EarlierRuling(PUSH, Verdict.DISPATCH, Reason.ALLOWED, None, NOW - 50),
        EarlierRuling(EMAIL, Verdict.DEFER, Reason.QUIET_HOURS, MORNING, NOW - 50, "quiet_hours"),
    )

    def test_the_same_record_gets_the_same_decision_whatever_has_changed(self) -> None:
        claim = Claim(cancelled=True, earlier=list(self.EARLIER))
        ruling = ask(event("order.checked", channels=[SMS]), unknown_user("anna"), claim=claim)

        assert ruling.rule == "routed_again"
        assert [(c.channel, c.verdict, c.reason, c.until, c.rule) for c in ruling.channels] == [
            (PUSH, Verdict.DISPATCH, Reason.ALLOWED, None, "routed_again"),
            (EMAIL, Verdict.DEFER, Reason.QUIET_HOURS, MORNING, "quiet_hours"),
        ]

    def test_its_dispatch_counts_for_the_caps_from_the_moment_of_the_first_decision(self) -> None:
        history = CapHistory()
        ask(event("reply"), history=history, claim=Claim(earlier=[self.EARLIER[0]]))
        waiting = ask(event("reply", idempotency_key="key-2"), history=history)
        assert only(waiting).until == NOW - 50 + 5 * 60_000

    def test_what_was_unrouted_stays_so(self) -> None:
        assert ask(event("alarm"), claim=Claim(earlier=[])).unrouted is Reason.NO_CHANNEL


class TestRecipient:
    def test_nobody_of_that_id(self) -> None:
        ruling = ask(event("alarm"), unknown_user("anna"))
        assert said(ruling) == (Verdict.SUPPRESS, Reason.UNKNOWN_RECIPIENT, "unknown_recipient")

    @pytest.mark.parametrize(
        ("channel", "user"), [(PUSH, anna(devices=[])), (EMAIL, anna(email=None)), (SMS, anna(phone=None))]
    )
    def test_no_address_on_this_channel(self, channel: Channel, user: UserSnapshot) -> None:
        ruling = ask(event("alarm", channels=[channel]), user)
        assert said(ruling) == (Verdict.SUPPRESS, Reason.NO_ADDRESS, "no_address")

    @pytest.mark.parametrize(
        ("channel", "stream", "expires_at", "stopped"),
        [
            (PUSH, "*", None, True),
            (PUSH, "all", NOW + 1, True),
            (PUSH, "transactional", None, True),
            (PUSH, "*", NOW, False),
            (PUSH, "marketing", None, False),
            (EMAIL, "*", None, False),
        ],
    )
    def test_a_suppressed_address_is_not_used_for_that_stream_while_it_lasts(
        self, channel: Channel, stream: str, expires_at: int | None, stopped: bool
    ) -> None:
        user = anna(suppressions=[Suppression(channel, stream, "bounced", expires_at)])
        ruling = ask(event("login"), user)
        held = (Verdict.SUPPRESS, Reason.ADDRESS_SUPPRESSED, "suppression_list")
        assert said(ruling) == (held if stopped else (Verdict.DISPATCH, Reason.ALLOWED, "allowed"))

    def test_a_category_that_requires_consent_reaches_only_who_gave_it(self) -> None:
        assert said(ask(event("news"))) == (Verdict.SUPPRESS, Reason.NO_CONSENT, "consent")
        ruling = ask(event("news"), anna(consents=["marketing"]))
        assert only(ruling).verdict is Verdict.DISPATCH
        assert ruling.stream == "marketing"


class TestPreference:
    @pytest.mark.parametrize(
        ("off", "rule"),
        [
            (row("push", "alarm"), "preference:channel_type"),
            (row("push", "orders"), "preference:channel_category"),
            (row("push", "all"), "preference:channel_all"),
            (row("*", "alarm"), "preference:all_type"),
            (row("all", "orders"), "preference:all_category"),
            (row("*", "*"), "preference:all_all"),
        ],
    )
    def test_an_opt_out_holds_even_critical_back_and_names_its_rank(self, off: PreferenceRow, rule: str) -> None:
        ruling = ask(event("alarm"), anna(preferences=[msgspec.structs.replace(off, enabled=False)]))
        assert said(ruling) == (Verdict.SUPPRESS, Reason.OPTED_OUT, rule)
        assert only(ruling).inputs["preference"] == {
            "channel": "push" if off.channel == "push" else "*",
            "notif_type": off.notif_type,
            "enabled": False,
        }

    def test_a_mandatory_type_passes_an_opt_out_and_says_so(self) -> None:
        opted_out, opted_in = (anna(preferences=[row(enabled=on)]) for on in (False, True))
        assert said(ask(event("login"), opted_out)) == (Verdict.DISPATCH, Reason.MANDATORY, "mandatory")
        assert said(ask(event("login"), opted_in)) == (Verdict.DISPATCH, Reason.ALLOWED, "allowed")


class TestTime:
    def test_what_is_to_be_sent_later_waits_critical_or_not(self) -> None:
        for event_type in ("alarm", "login"):
            ruling = ask(event(event_type, send_at=NOW + HOUR))
            assert said(ruling) == (Verdict.DEFER, Reason.SCHEDULED, "send_at")
            assert only(ruling).until == NOW + HOUR
        assert only(ask(event("login", send_at=NOW))).verdict is Verdict.DISPATCH

    def test_quiet_hours_hold_until_their_end_in_the_users_zone(self) -> None:
        ruling = ask(event("login"), anna(preferences=[NIGHT]))
        assert said(ruling) == (Verdict.DEFER, Reason.QUIET_HOURS, "quiet_hours")
        assert only(ruling).until == MORNING
        assert only(ruling).inputs["quiet_hours"] == {"start": 79_200, "end": 25_200, "zone": "Europe/Berlin"}

    def test_the_rows_own_zone_wins_over_the_users(self) -> None:
        ruling = ask(event("login"), anna(preferences=[row(quiet="22-7", zone="America/New_York")]))
        assert only(ruling).verdict is Verdict.DISPATCH  # 17:30 there

    def test_an_unknown_zone_counts_as_utc_and_says_so(self) -> None:
        ruling = ask(event("login"), anna(preferences=[row(quiet="21-22", zone="Mars/Olympus")]))
        assert only(ruling).until == NOW + HOUR // 2
        assert only(ruling).inputs["quiet_hours"] == {
            "start": 75_600,
            "end": 79_200,
            "zone": "UTC",
            "unknown_zone": "Mars/Olympus",
        }

    def test_critical_passes_quiet_hours(self) -> None:
        assert said(ask(event("alarm"), anna(preferences=[NIGHT]))) == (Verdict.DISPATCH, Reason.ALLOWED, "critical")

    def test_what_would_expire_while_it_waits_is_expired_at_once(self) -> None:
        ruling = ask(event("login", expires_at=MORNING), anna(preferences=[NIGHT]))
        assert said(ruling) == (Verdict.EXPIRE, Reason.EXPIRED, "quiet_hours")
        assert only(ruling).inputs["held_until"] == MORNING
        later = ask(event("login", expires_at=MORNING + 1), anna(preferences=[NIGHT]))
        assert only(later).verdict is Verdict.DEFER


class TestCaps:
    def test_what_is_beyond_the_cap_is_dropped(self) -> None:
        history = CapHistory()
        first = ask(event("comment"), history=history)
        second = ask(event("comment", idempotency_key="key-2"), history=history, now=NOW + 1)

        assert only(first).verdict is Verdict.DISPATCH
        assert said(second) == (Verdict.SUPPRESS, Reason.FREQUENCY_CAP, "cap:comment")
        assert only(second).inputs["cap"] == {
            "name": "comment",
            "limit": 1,
            "window_s": 300,
            "free_at": NOW + 300_000,
        }

    def test_or_deferred_until_the_window_has_room_as_the_cap_says(self) -> None:
        history = CapHistory()
        ask(event("reply"), history=history)
        second = ask(event("reply", idempotency_key="key-2"), history=history, now=NOW + 1)
        assert said(second) == (Verdict.DEFER, Reason.FREQUENCY_CAP, "cap:reply")
        assert only(second).until == NOW + 300_000
        released = ask(
            event("reply", idempotency_key="key-2"), history=history, now=NOW + 300_000, origin=Origin.RELEASED
        )
        assert only(released).verdict is Verdict.DISPATCH

    def test_channels_are_counted_apart_where_the_scope_says_so(self) -> None:
        apart = ask(event("comment", channels=[PUSH, EMAIL]))
        assert [c.verdict for c in apart.channels] == [Verdict.DISPATCH, Verdict.DISPATCH]
        together = ask(event("reply", channels=[PUSH, EMAIL]))
        assert [c.verdict for c in together.channels] == [Verdict.DISPATCH, Verdict.DEFER]

    def test_critical_passes_but_is_counted(self) -> None:
        history = CapHistory()
        for number in range(3):
            ruling = ask(event("alarm", idempotency_key=f"key-{number}"), history=history)
            assert only(ruling).verdict is Verdict.DISPATCH
        calmer = ask(event("alarm", idempotency_key="key-9", priority=Priority.HIGH), history=history)
        assert only(calmer).rule == "cap:alarm"

    def test_what_is_held_does_not_use_up_the_cap(self) -> None:
        history = CapHistory()
        ask(event("comment"), anna(preferences=[NIGHT]), history=history)
        ask(event("comment"), anna(devices=[]), history=history)
        assert not history.changed

    def test_only_what_a_cap_covers_is_recorded(self) -> None:
        without_caps = parse_catalogue(
            "version: 1\ndefaults: {category: c, channels: [push]}\ncategories: {c: {}}\n", Path("c.yaml")
        )
        history = CapHistory()
        decide(event(), {}, anna(), history, FIRST_SEEN, without_caps, NOW, Origin.INGEST, "default")
        assert not history.changed


POST = {"post": "p1"}


class TestDigest:
    def test_an_item_waits_for_its_digest_before_quiet_hours_and_caps_are_asked(self) -> None:
        user = anna(preferences=[NIGHT])
        history = CapHistory()
        for _ in range(2):
            ruling = ask(event("like"), user, data=dict(POST), history=history)
            assert said(ruling) == (Verdict.DIGEST, Reason.DIGEST, "digest")
            assert only(ruling).until == NOW + HOUR // 6

    def test_who_opted_out_is_not_collected(self) -> None:
        ruling = ask(event("like"), anna(preferences=[row(enabled=False)]), data=dict(POST))
        assert said(ruling)[:2] == (Verdict.SUPPRESS, Reason.OPTED_OUT)

    def test_what_is_critical_cannot_be_keyed_or_would_expire_meanwhile_is_sent_on_its_own(self) -> None:
        critical = ask(event("like", priority=Priority.CRITICAL), data=dict(POST))
        unkeyed = ask(event("like"), data={})
        short = ask(event("like", expires_at=NOW + HOUR // 6), data=dict(POST))
        assert {only(r).verdict for r in (critical, unkeyed, short)} == {Verdict.DISPATCH}

    def test_what_was_asked_for_later_waits_first(self) -> None:
        ruling = ask(event("like", send_at=NOW + HOUR), data=dict(POST))
        assert said(ruling)[:2] == (Verdict.DEFER, Reason.SCHEDULED)
