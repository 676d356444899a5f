"""Which dead letters a command is about."""

import pytest

from pipeline.dlq.letters import DeadLetter, read_content
from pipeline.dlq.selection import Selection, topic_named
from pipeline.errors import ConfigurationError
from pipeline.events.codec import Codec
from pipeline.kafka.names import INGEST_DLQ
from tests.unit.dlq.conftest import AT, DLQ, UNIT


@pytest.mark.parametrize(
    ("fits", "selection"),
    [
        (True, Selection()),
        (True, Selection(topics=(DLQ,), partition=0, offsets=frozenset({3, 4}))),
        (False, Selection(topics=(DLQ,), partition=1)),
        (False, Selection(topics=(DLQ,), partition=0, offsets=frozenset({4}))),
        (False, Selection(topics=(INGEST_DLQ,))),
        (True, Selection(reasons=frozenset({"template_error", "malformed"}))),
        (False, Selection(reasons=frozenset({"malformed"}))),
        (True, Selection(recipient_id="ann")),
        (False, Selection(recipient_id="bob")),
        (True, Selection(since=AT, until=AT + 1)),
        (False, Selection(until=AT)),
        (False, Selection(since=AT + 1)),
    ],
)
def test_every_condition_must_hold(undelivered: DeadLetter, fits: bool, selection: Selection) -> None:
    assert selection.fits(undelivered) is fits


def test_ids_are_those_of_the_record(undelivered: DeadLetter, refused: DeadLetter, codec: Codec) -> None:
    content = read_content(codec, undelivered)
    assert Selection(event_id="e1", notification_id=UNIT).fits_content(undelivered, content)
    assert not Selection(event_id="e2").fits_content(undelivered, content)
    assert not Selection(notification_id="other").fits_content(undelivered, content)
    assert Selection(event_id="e1").fits_content(refused, read_content(codec, refused))


@pytest.mark.parametrize("wrong", [{"offsets": frozenset({1})}, {"partition": 1}])
def test_a_position_is_whole_or_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="give --"):
        Selection(**wrong)  # type: ignore[arg-type]


def test_only_a_condition_makes_it_narrow() -> None:
    assert not Selection(topics=(DLQ,)).narrow
    assert Selection(since=0).narrow
    assert Selection(topics=(DLQ,), partition=0).narrow


def test_it_tells_the_audit_trail_what_it_is() -> None:
    assert str(Selection()) == "all"
    assert (
        str(Selection(topics=(DLQ,), reasons=frozenset({"malformed"}), event_id="e"))
        == f"{DLQ} reason=malformed event=e"
    )


def test_topics_go_by_their_own_names_and_short_ones() -> None:
    assert topic_named("in-app") == topic_named("in_app") == "notifications.in-app.dlq"
    assert topic_named(DLQ) == topic_named("email") == DLQ
    assert topic_named("ingest") == INGEST_DLQ
    with pytest.raises(ConfigurationError, match="no dead-letter topic"):
        topic_named("notifications.ingest")
