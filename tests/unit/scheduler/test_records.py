"""What ends a wait, record by record."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events.codec import MAX_EVENT_BYTES, Codec
from pipeline.events.records import Deferred, NotificationRequested
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.scheduler.records import DigestHead, digest_event
from pipeline.scheduler.times import LATEST, due_at, instant, milliseconds

T = 1_790_000_000_000
HEAD = DigestHead("d1", "ann", Channel.PUSH, "post-1", "many", 20, T)


def event(number: int = 1, data: str = "{}", recipient: str = "ann") -> NotificationRequested:
    return NotificationRequested(
        event_id=f"e{number}",
        event_type="liked",
        recipient_id=recipient,
        channels=[],
        priority=None,
        data=data,
        idempotency_key=f"k{number}",
        created_at=T,
    )


def wait(
    until: int, reason: Reason = Reason.QUIET_HOURS, priority: Priority = Priority.NORMAL, who: str = "a"
) -> Deferred:
    return Deferred(
        notification_id="n",
        channel=Channel.PUSH,
        priority=priority,
        category="c",
        until=until,
        reason=reason,
        rule="r",
        policy_version="1",
        deferred_at=T,
        stage="router",
        attempts=0,
        trace_id="",
        event=event(recipient=who),
    )


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(0, LATEST - 60_000), st.integers(0, 60_000))
def test_only_the_end_of_quiet_hours_is_spread_and_never_to_before_it(who: str, until: int, jitter: int) -> None:
    assert until <= due_at(wait(until, who=who), jitter) <= until + jitter
    assert due_at(wait(until, Reason.SCHEDULED, who=who), jitter) == until
    assert due_at(wait(until, priority=Priority.CRITICAL, who=who), jitter) == until


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62))
def test_whatever_a_record_names_is_an_instant_that_can_be_kept(until: int) -> None:
    due = due_at(wait(until), 0)
    assert milliseconds(instant(due)) == due


@settings(deadline=None)
@given(st.integers(0, LATEST))
def test_instants_survive_the_database_to_the_millisecond(at: int) -> None:
    assert milliseconds(instant(at)) == at


def test_a_spread_never_outlasts_what_is_spread() -> None:
    deferred = wait(T)
    deferred = msgspec.structs.replace(deferred, event=msgspec.structs.replace(deferred.event, expires_at=T + 1))
    assert due_at(deferred, 60_000) == T


def test_a_digest_counts_all_and_tells_the_newest_in_order() -> None:
    data = msgspec.json.decode(digest_event(HEAD, [event(i, f'{{"n": {i}}}') for i in range(50)]).data)
    assert data["count"] == 50
    assert [item["data"]["n"] for item in data["items"]] == list(range(30, 50))


def test_a_digest_of_huge_items_still_fits_into_an_event() -> None:
    large = event(data=msgspec.json.encode({"text": "x" * 300_000}).decode())
    made = digest_event(HEAD, [large] * 20)
    value = Codec.open().encode_event(made)
    assert len(value) < MAX_EVENT_BYTES
    data = msgspec.json.decode(made.data)
    assert (data["count"], len(data["items"])) == (20, 1)
