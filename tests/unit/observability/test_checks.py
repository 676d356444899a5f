from pipeline.kafka.names import DLQ_TOPICS, INGEST, INGEST_DLQ, ROUTER_GROUP
from pipeline.observability.checks import Level, depth_findings
from pipeline.observability.lag import Offsets, Progress


def offsets(*, finished: int = 5, letters: int = 0) -> Offsets:
    progress = Progress(ROUTER_GROUP, INGEST, ends=(5, 5), finished=(5, finished))
    return Offsets((progress,), {**dict.fromkeys(DLQ_TOPICS, 0), INGEST_DLQ: letters}, {})


def test_lag_is_what_is_not_finished_and_never_negative() -> None:
    assert Progress("g", "t", ends=(5, 7, 1), finished=(3, 7, 4)).lag == 2


def test_empty_queues_and_dead_letter_topics_are_all_well() -> None:
    assert [finding.level for finding in depth_findings(offsets())] == [Level.OK, Level.OK]


def test_a_group_that_is_behind_is_named_with_its_topic_and_what_to_do() -> None:
    lag, _ = depth_findings(offsets(finished=1))
    assert lag.level is Level.WARN
    assert (lag.name, lag.detail) == (f"lag {ROUTER_GROUP}", f"4 records of {INGEST} not finished")
    assert lag.remedy


def test_dead_letters_are_named_with_their_topic() -> None:
    _, letters = depth_findings(offsets(letters=3))
    assert letters.level is Level.WARN
    assert INGEST_DLQ in letters.name
    assert letters.remedy
