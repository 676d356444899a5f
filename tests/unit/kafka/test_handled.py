"""The marks of handled dead letters: the set that they stand for, through the topic and back."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.kafka.handled import PAGE, Handled, PageKey
from pipeline.kafka.names import DLQ_HANDLED

TOPIC = "notifications.email.dlq"
ID = "AaIQz20MfsG/8/DYoE6Spw"
IDS = {TOPIC: ID, "notifications.sms.dlq": "pPfrMOaBTeOe9OqzeXb1MQ"}
OFFSETS = st.sets(st.integers(0, 3 * PAGE), max_size=40)


def marked(offsets: set[int], partition: int = 0) -> Handled:
    handled = Handled(IDS)
    for offset in offsets:
        handled.add(TOPIC, partition, offset)
    return handled


@given(OFFSETS, OFFSETS, st.integers(0, 3 * PAGE), st.integers(0, 3 * PAGE))
def test_what_went_through_the_topic_is_the_same_set(first: set[int], then: set[int], low: int, end: int) -> None:
    handled, read = marked(first), Handled(IDS)
    records = list(handled.take_changes())
    for offset in then:
        handled.add(TOPIC, 0, offset)
    records += handled.take_changes()
    for record in records:
        assert record.topic == DLQ_HANDLED
        read.put(record.key, record.value)
    everything = first | then
    assert all((TOPIC, 0, offset) in read for offset in everything)
    assert sum((TOPIC, 0, offset) in read for offset in range(0, 3 * PAGE, 997)) == len(
        everything & set(range(0, 3 * PAGE, 997))
    )
    assert read.count(TOPIC, 0, low, end) == sum(low <= offset < end for offset in everything)


def test_partitions_and_topics_are_kept_apart() -> None:
    handled = marked({5}, partition=1)
    assert (TOPIC, 1, 5) in handled
    assert (TOPIC, 0, 5) not in handled
    assert ("notifications.sms.dlq", 1, 5) not in handled
    assert handled.count(TOPIC, 0, 0, PAGE) == 0


def test_only_what_changed_is_written() -> None:
    handled = marked({1, PAGE, PAGE + 1})
    assert [record.key for record in handled.take_changes()] == [
        f"{TOPIC} 0 0 {ID}".encode(),
        f"{TOPIC} 0 1 {ID}".encode(),
    ]
    handled.add(TOPIC, 0, PAGE + 2)
    assert [record.key for record in handled.take_changes()] == [f"{TOPIC} 0 1 {ID}".encode()]
    assert list(handled.take_changes()) == []


def test_a_topic_that_was_made_anew_has_nothing_handled() -> None:
    anew = Handled({TOPIC: "another"})
    for record in marked({1, 2}).take_changes():
        anew.put(record.key, record.value)
    assert (TOPIC, 0, 1) not in anew
    assert anew.count(TOPIC, 0, 0, PAGE) == 0


def test_a_record_that_is_not_ours_is_passed_over() -> None:
    for key in (None, b"", b"x", b"a b c d", b"a 1 2", b"\xff 1 -2 x"):
        assert PageKey.decode(key) is None
        Handled(IDS).put(key, b"\xff")
