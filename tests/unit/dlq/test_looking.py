"""What an operator sees of dead letters: groups of them, and one of them whole."""

import base64
from dataclasses import replace

from pipeline.cli.dlq_show import to_text
from pipeline.dlq.index import Index
from pipeline.dlq.letters import DeadLetter, read_content, units_of
from pipeline.dlq.listing import group
from pipeline.dlq.showing import document
from pipeline.events.canonical import CanonicalJson
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import Reason
from tests.unit.dlq.conftest import AT, UNIT, letter_of


def test_groups_count_by_topic_and_reason_and_quote_the_latest(undelivered: DeadLetter, refused: DeadLetter) -> None:
    later = replace(letter_of(b"", at=AT + 1_000, offset=77, headers=undelivered.headers), offset=9)
    groups = group([undelivered, later, refused])
    assert [(g.topic, g.reason, g.count, g.again) for g in groups] == [
        (undelivered.topic, "template_error", 2, 1),
        (refused.topic, "unknown_type", 1, 0),
    ]
    assert (groups[0].oldest, groups[0].newest) == (AT, AT + 1_000)
    assert (groups[0].example.offset, groups[0].example.error) == (9, "line 3")


def shown(letter: DeadLetter, codec: Codec) -> dict[str, object]:
    canonical = CanonicalJson(codec.book.schema_of("NotificationRequested"))
    return document(letter, read_content(codec, letter), canonical, handled=False, statuses=[])


def test_a_dispatch_is_shown_with_its_event_as_canonical_json(undelivered: DeadLetter, codec: Codec) -> None:
    told = shown(undelivered, codec)
    assert told["notification_ids"] == [UNIT]
    event = told["event"]
    assert isinstance(event, dict)
    assert (event["event_id"], event["data"], event["created_at"]) == (
        "e1",
        {"order_id": "secret-order"},
        "2026-09-21T14:13:15Z",
    )
    assert told["headers"] == {"traceparent": "t"}
    text = to_text(told)
    assert "template_error: line 3" in text
    assert "notifications.email.high/1/11" in text


def test_bytes_that_cannot_be_read_are_shown_as_they_are(codec: Codec) -> None:
    poison = letter_of(b"\x00\xffHello, you" + bytes(600), reason=Reason.MALFORMED)
    told = shown(poison, codec)
    assert base64.b64decode(str(told["bytes"])) == poison.value
    text = to_text(told)
    assert "00000000  00 ff 48 65 6c 6c 6f 2c 20 79 6f 75" in text
    assert "..Hello, you" in text
    assert "100 more bytes" in text


def test_a_letter_without_any_header_of_ours_is_shown_too(codec: Codec) -> None:
    bare = DeadLetter(
        topic="notifications.sms.dlq", partition=0, offset=0, timestamp=AT, key=None, value=None, headers=[]
    )
    assert "no reason: no error text" in to_text(shown(bare, codec))


def test_copies_are_known_by_the_record_that_they_are_about(undelivered: DeadLetter, codec: Codec) -> None:
    copy = replace(undelivered, offset=4)
    late = replace(undelivered, offset=5)
    other = replace(letter_of(undelivered.value, offset=12), offset=6)
    with Index() as index:
        for letter in (undelivered, copy, other):
            index.choose(letter, units_of(letter, read_content(codec, letter)))
        index.finish()
        found = [index.find(letter) for letter in (undelivered, copy, other, late)]
    assert [entry and entry.copy for entry in found] == [False, True, False, None]
    with Index() as index:
        index.note_handled(undelivered)
        index.choose(late, [])
        index.finish()
        entry = index.find(late)
    assert entry
    assert entry.copy, "its original was handled: a crash wrote it once more"


def test_a_unit_with_an_outcome_is_settled(undelivered: DeadLetter, codec: Codec) -> None:
    with Index() as index:
        index.choose(undelivered, units_of(undelivered, read_content(codec, undelivered)))
        index.finish()
        before = index.find(undelivered)
        index.settle([("sent", "somebody else's"), ("cancelled", UNIT)])
        after = index.find(undelivered)
    assert before
    assert (before.settled, before.open_units) == (False, frozenset({UNIT}))
    assert after
    assert (after.settled, after.open_units) == (True, frozenset())
