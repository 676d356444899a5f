"""The story in sentences: what a support agent reads out."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.accounts.words import Decided, tell_channel
from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict

NIGHT = int(datetime(2026, 1, 31, 21, 30, tzinfo=UTC).timestamp() * 1000)
MORNING = int(datetime(2026, 2, 1, 6, 0, tzinfo=UTC).timestamp() * 1000)


def decided(verdict: Verdict, reason: Reason, rule: str, at: int = NIGHT, **inputs: Any) -> Decided:
    until, origin = inputs.pop("until", None), inputs.pop("origin", Origin.INGEST)
    channel = ChannelDecision(
        channel=Channel.EMAIL, verdict=verdict, reason=reason, rule=rule, notification_id="n", until=until,
        inputs=json.dumps(inputs),
    )  # fmt: skip
    whole = Decision(
        event_id="e", idempotency_key="k", recipient_id="anna", event_type="t", category="c", source="shop",
        kind=Kind.REQUEST, priority=Priority.NORMAL, policy_version="7+abc", decided_at=at, origin=origin, partition=0,
        offset=0, trace_id="", channels=[channel],
    )  # fmt: skip
    return Decided(whole, channel)


def status(word: Status, reason: Reason, at: int, attempt: int = 1, **more: Any) -> DeliveryStatus:
    return DeliveryStatus(
        notification_id="n", event_id="e", idempotency_key="k", recipient_id="anna", event_type="t", category="c",
        source="shop", channel=Channel.EMAIL, priority=Priority.NORMAL, status=word, reason=reason, rule="allowed",
        policy_version="7+abc", provider=more.pop("provider", "ses"), provider_message_id=more.pop("message", ""),
        attempt=attempt, in_doubt=more.pop("in_doubt", False), occurred_at=at, created_at=NIGHT, trace_id="",
    )  # fmt: skip


def test_a_night_in_quiet_hours_a_retry_and_a_doubt_are_told_in_order() -> None:
    window = {"start": 79_200, "end": 25_200, "zone": "Europe/Berlin"}
    held = decided(Verdict.DEFER, Reason.QUIET_HOURS, "quiet_hours", quiet_hours=window, until=MORNING)
    counters = {"mail": {"sent": 1, "limit": 3, "window_s": 86_400}}
    again = decided(Verdict.DISPATCH, Reason.ALLOWED, "allowed", MORNING + 1, origin=Origin.RELEASED, counters=counters)
    told = tell_channel(
        [held, again],
        [
            status(Status.SENT, Reason.ACCEPTED, MORNING + 9_000, 2, in_doubt=True),
            status(Status.RETRYING, Reason.PROVIDER_UNAVAILABLE, MORNING + 2_000, 1),
            status(Status.DEFERRED, Reason.QUIET_HOURS, NIGHT, 0, provider=""),
            status(Status.RELEASED, Reason.QUIET_HOURS, MORNING, 0, provider=""),
        ],
    )
    assert told == [
        (
            "2026-01-31 21:30:00 UTC: it was held back until 2026-02-01 07:00:00 Europe/Berlin. "
            "It fell into the user's quiet hours; it waits for their end. "
            "The user's quiet hours are 22:00 to 07:00 in Europe/Berlin; it was 22:30 there. "
            "(Rule quiet_hours, policy 7+abc.)"
        ),
        "2026-02-01 06:00:00 UTC: The wait was over.",
        (
            "2026-02-01 06:00:00 UTC: it was let through to be sent (decided again: the wait was over). "
            "No rule held it back. Of the 3 that the limit 'mail' allows in 1 day, 1 had been sent. "
            "(Rule allowed, policy 7+abc.)"
        ),
        (
            "2026-02-01 06:00:02 UTC: Sending it through the provider ses did not work; it is tried again. "
            "The provider could not be reached or answered with an error of its own."
        ),
        (
            "2026-02-01 06:00:09 UTC: The provider ses accepted the message at try 2. "
            "An answer had been lost, and it was sent again: it may have arrived twice."
        ),
    ]


def test_a_full_cap_is_told_with_its_counter_and_when_it_has_room() -> None:
    cap = {"name": "comment", "limit": 2, "window_s": 600, "free_at": NIGHT + 60_000}
    counters = {"comment": {"sent": 2, "limit": 2, "window_s": 600}}
    (told,) = tell_channel(
        [decided(Verdict.SUPPRESS, Reason.FREQUENCY_CAP, "cap:comment", counters=counters, cap=cap)], []
    )
    assert "Of the 2 that the limit 'comment' allows in 10 minutes, 2 had been sent." in told
    assert "has room again at 2026-01-31 21:31:00 UTC" in told


def test_an_opt_out_names_the_preference_that_decided() -> None:
    row = {"channel": "*", "notif_type": "marketing", "enabled": False}
    (told,) = tell_channel(
        [decided(Verdict.SUPPRESS, Reason.OPTED_OUT, "preference:all_category", preference=row)],
        [status(Status.SUPPRESSED, Reason.OPTED_OUT, NIGHT, 0)],
    )
    assert "'marketing' on all channels is turned off" in told


def test_a_zone_that_does_not_exist_is_told_to_count_as_utc() -> None:
    window = {"start": 0, "end": 3_600, "unknown_zone": "Mars/Phobos", "zone": "UTC"}
    (told,) = tell_channel([decided(Verdict.DISPATCH, Reason.ALLOWED, "allowed", quiet_hours=window)], [])
    assert "'Mars/Phobos' does not exist, so UTC counts" in told


@pytest.mark.parametrize("word", list(Status))
@pytest.mark.parametrize("in_doubt", [True, False])
def test_every_status_has_its_sentence(word: Status, in_doubt: bool) -> None:
    (told,) = tell_channel([], [status(word, Reason.ACCEPTED, NIGHT, 3, in_doubt=in_doubt, provider="")])
    assert "{" not in told
    assert told.endswith(".")


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("reason", list(Reason))
def test_every_verdict_has_its_sentence_whatever_the_inputs_hold(verdict: Verdict, reason: Reason) -> None:
    odd: dict[str, Any] = {"cap": 3, "counters": {"a": 1}, "quiet_hours": {}, "preference": {}, "digest": {}, "new": []}
    (told,) = tell_channel([decided(verdict, reason, "r", **odd)], [])
    assert told.endswith("(Rule r, policy 7+abc.)")
