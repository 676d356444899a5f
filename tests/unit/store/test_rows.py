"""Where a notification stands does not depend on the order in which its records come, nor on how often."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedRecord
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.store.rows import HistoryRow, count, event_row, fold, history_row, history_rows, refuse_nul

AT = 1_790_000_000_000


def status(word: Status = Status.SENT, at: int = AT, **changes: Any) -> DeliveryStatus:
    made = DeliveryStatus(
        notification_id=notification_id("k", "ann", "push"),
        event_id="evt",
        idempotency_key="k",
        recipient_id="ann",
        event_type="order.shipped",
        category="orders",
        source="shop",
        channel=Channel.PUSH,
        priority=Priority.NORMAL,
        status=word,
        reason=Reason.ACCEPTED,
        rule="",
        policy_version="1",
        provider="fcm",
        provider_message_id="",
        attempt=1,
        in_doubt=False,
        occurred_at=at,
        created_at=AT - 1_000,
        trace_id="",
    )
    return msgspec.structs.replace(made, **changes)


def stands(*records: DeliveryStatus) -> HistoryRow:
    (row,) = history_rows([event_row(record) for record in records])
    return row


records = st.builds(
    status,
    st.sampled_from(Status),
    st.integers(AT, AT + 5),
    attempt=st.integers(0, 2),
    in_doubt=st.booleans(),
    provider=st.sampled_from(["fcm", "apns"]),
    reason=st.sampled_from([Reason.ACCEPTED, Reason.THROTTLED]),
)


@given(st.lists(records, min_size=1, max_size=6), st.data())
def test_order_and_repeats_make_no_difference(told: Sequence[DeliveryStatus], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)))]))
    assert stands(*again) == stands(*told)


@given(records, records, records)
def test_batches_may_be_cut_anywhere(a: DeliveryStatus, b: DeliveryStatus, c: DeliveryStatus) -> None:
    one, two, three = (history_row(event_row(s)) for s in (a, b, c))
    assert fold(fold(one, two), three) == fold(one, fold(two, three))


def test_a_receipt_that_overtakes_sent_is_not_taken_back() -> None:
    row = stands(status(Status.DELIVERED, AT + 1), status(Status.SENT, AT + 2))
    assert row.status == Status.DELIVERED
    assert row.sent_at == datetime.fromtimestamp((AT + 2) / 1000, UTC)


def test_a_dead_letter_that_was_replayed_and_sent_stands_as_sent() -> None:
    told = [status(Status.DEAD_LETTERED, AT), status(Status.REPLAYED, AT + 1), status(Status.SENT, AT + 2)]
    assert stands(*told).status == Status.SENT


def test_the_first_reading_counts() -> None:
    row = stands(status(Status.READ, AT + 9), status(Status.READ, AT + 5))
    assert row.read_at == datetime.fromtimestamp((AT + 5) / 1000, UTC)


def test_counts_are_by_hour_and_partition() -> None:
    rows = [(event_row(status(at=AT + n)), n % 2) for n in range(3)]
    counts = count(rows)
    assert sorted(counts.values()) == [1, 2]
    assert {counted.hour for counted in counts} == {AT // 3_600_000 * 3_600_000}


@pytest.mark.parametrize(
    "changes",
    [{"notification_id": "n1"}, {"occurred_at": 2**62}, {"created_at": -(2**62)}],
)
def test_what_postgresql_cannot_hold_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecord, match="cannot be stored"):
        event_row(status(**changes))


def test_a_nul_character_is_refused_by_name() -> None:
    with pytest.raises(MalformedRecord, match="source has a NUL"):
        refuse_nul(event_row(status(source="a\0b")))
