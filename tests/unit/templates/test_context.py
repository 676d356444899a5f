import pytest

from pipeline.errors import MalformedRecord
from pipeline.events.records import NotificationRequested
from pipeline.templates.context import render_context


def event(data: str, created_at: int = 0) -> NotificationRequested:
    return NotificationRequested(
        event_id="e",
        event_type="t",
        recipient_id="u",
        channels=[],
        priority=None,
        data=data,
        idempotency_key="k",
        created_at=created_at,
    )


@pytest.mark.parametrize("data", ["", "[]", "1", "{", '{"a": "\\ud800"}', '{"a":' * 5000])
def test_data_that_is_no_json_object_is_malformed_and_nothing_else(data: str) -> None:
    with pytest.raises(MalformedRecord):
        render_context(event(data), "en")


def test_a_time_out_of_range_is_malformed() -> None:
    with pytest.raises(MalformedRecord):
        render_context(event("{}", 10**17), "en")


def test_times_are_utc() -> None:
    view = render_context(event("{}", 1_771_840_800_123), "en")["event"]
    assert str(getattr(view, "created_at", None)) == "2026-02-23 10:00:00.123000+00:00"
