"""The headers of a dead letter: what they say of each time that it failed."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.vocabulary import Reason
from pipeline.kafka.dead_letters import MAX_ROUNDS, dead_letter, history, rounds

AT = 1_790_000_000_123
Raw = list[tuple[str, bytes | None]]


def failed(headers: Raw, attempts: int = 5, *, offset: int = 7, in_doubt: bool = False) -> Raw:
    record = dead_letter(
        "notifications.email.dlq",
        key=b"ann",
        value=b"untouched",
        headers=headers,
        topic="notifications.email.high",
        partition=2,
        offset=offset,
        reason=Reason.RETRIES_EXHAUSTED,
        error="503",
        attempts=attempts,
        now=AT,
        in_doubt=in_doubt,
    )
    assert (record.key, record.value) == (b"ann", b"untouched")
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in record.headers or []]


def test_a_first_failure_is_one_round_behind_the_records_own_headers() -> None:
    headers = failed([("traceparent", b"t")])
    assert headers[0] == ("traceparent", b"t")
    (only,) = rounds(headers)
    assert (only.reason, only.error, only.attempts) == ("retries_exhausted", "503", 5)
    assert (only.topic, only.partition, only.offset, only.at) == ("notifications.email.high", 2, 7, AT)
    assert not only.in_doubt


def test_what_fails_again_keeps_its_history_and_its_attempts_add_up() -> None:
    twice = failed(failed([], 5, offset=7, in_doubt=True), 3, offset=90)
    assert [(r.attempts, r.offset, r.in_doubt) for r in rounds(twice)] == [(5, 7, True), (8, 90, False)]
    assert dict(twice)["dlq.attempts"] == b"8", "the last header of a name is the newest, as Kafka's clients read it"


@given(st.integers(1, 2 * MAX_ROUNDS))
def test_the_history_is_bounded_and_keeps_the_first_round_and_the_count(times: int) -> None:
    headers: Raw = [("origin", b"replayed")]
    for number in range(times):
        headers = failed(headers, 2, offset=number)
    told = rounds(headers)
    assert len(told) == min(times, MAX_ROUNDS)
    assert (told[0].offset, told[-1].offset, told[-1].attempts) == (0, times - 1, 2 * times)
    assert ("origin", b"replayed") in headers
    assert len(history(headers)) == len(headers) - 1


@given(st.lists(st.tuples(st.sampled_from(["dlq.reason", "dlq.at", "dlq.offset", "x"]), st.none() | st.binary())))
def test_headers_that_somebody_else_wrote_never_make_it_fail(headers: Raw) -> None:
    for told in rounds(headers):
        assert told.offset >= -1
    assert rounds(failed(headers))[-1].offset == 7
