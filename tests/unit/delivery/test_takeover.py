import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.commits import NOTHING_BEGUN, REFRESH, Commits
from pipeline.delivery.entry import Final
from pipeline.delivery.ledger import Found, State
from pipeline.delivery.offset_map import Memory, Span, decode
from pipeline.delivery.outcomes import final_status
from pipeline.delivery.takeover import Takeover, Verdict, closed_by
from pipeline.delivery.work import Partition
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Origin, Reason, Status
from tests.unit.delivery.test_steps import NOW, dispatch

ABSENT = Found(State.LEASED, cancelled=False, body=b"", busy_for=0.0)
TRIED = ABSENT._replace(body=b"progress")
BEFORE, AFTER = "the epoch before", "the epoch after"


def takeover(in_hand: int = 100, end: int | None = 1000, share: int = 100) -> Takeover:
    return Takeover(Memory(BEFORE, NOW, in_hand, share, ()), end)


def told(status: Status, occurred_at: int = NOW + 1) -> DeliveryStatus:
    return final_status(dispatch(), Final(status, Reason.ACCEPTED, "p", "m", 1, False, occurred_at))


def judged(status: DeliveryStatus | None, found: Found = ABSENT, epoch: str = AFTER, **changes: object) -> Verdict:
    subject = takeover()
    subject.told = {} if status is None else {status.notification_id: status}
    record = msgspec.structs.replace(dispatch(), **changes)
    return subject.judge(5, record, record.decided_at, found, epoch)


def test_in_the_same_epoch_the_ledger_knows_everything() -> None:
    assert judged(None, epoch=BEFORE) is Verdict.ORDINARY
    assert judged(told(Status.SENT), epoch=BEFORE) is Verdict.ORDINARY


@pytest.mark.parametrize("found", [TRIED, *(ABSENT._replace(state=s) for s in State if s is not State.LEASED)])
def test_what_the_ledger_has_of_a_try_is_believed_in_any_epoch(found: Found) -> None:
    assert judged(None, found) is Verdict.ORDINARY


def test_what_neither_redis_nor_the_status_topic_knows_may_have_been_sent() -> None:
    assert judged(None) is Verdict.SUSPECT
    assert judged(told(Status.RETRYING)) is Verdict.SUSPECT


def test_an_outcome_that_is_told_is_believed_unless_it_is_that_of_an_earlier_round() -> None:
    assert judged(told(Status.SENT)) is Verdict.FINISHED
    assert judged(told(Status.DEAD_LETTERED)) is Verdict.FINISHED
    assert judged(told(Status.SENT, NOW - 1)) is Verdict.SUSPECT
    assert judged(told(Status.DEAD_LETTERED), origin=Origin.REPLAYED) is Verdict.SUSPECT
    assert judged(told(Status.DEFERRED), origin=Origin.RELEASED) is Verdict.SUSPECT
    assert judged(told(Status.SENT), origin=Origin.RELEASED) is Verdict.FINISHED


@given(finished=st.lists(st.booleans(), max_size=60), in_hand=st.integers(1, 20), end=st.integers(0, 60))
def test_no_more_is_suspected_than_the_last_holder_can_have_had_in_hand(
    finished: list[bool], in_hand: int, end: int
) -> None:
    subject, verdicts = takeover(in_hand, end), []
    status = told(Status.SENT)
    for offset, known in enumerate(finished):
        if subject.covers(offset):
            subject.told = {status.notification_id: status} if known else {}
            verdicts.append(subject.judge(offset, dispatch(), NOW, ABSENT, AFTER))
        else:
            assert offset >= end or verdicts.count(Verdict.SUSPECT) == in_hand
    assert verdicts.count(Verdict.SUSPECT) <= in_hand
    assert len(verdicts) <= end
    assert subject.is_over(end)
    if verdicts.count(Verdict.SUSPECT) < in_hand:
        assert not subject.is_over(end - 1)


def test_of_one_user_no_more_is_suspected_than_their_share_of_the_line() -> None:
    """What is beyond it had waited aside: it takes up nothing of what the holder can have had in line."""
    subject = takeover(in_hand=4, share=3)
    of_one = [subject.judge(n, dispatch(), NOW, ABSENT, AFTER) for n in range(10)]
    assert of_one == [Verdict.SUSPECT] * 3 + [Verdict.ORDINARY] * 7
    other = msgspec.structs.replace(dispatch().event, recipient_id="another")
    assert subject.covers(10)
    assert subject.judge(10, msgspec.structs.replace(dispatch(), event=other), NOW, ABSENT, AFTER) is Verdict.SUSPECT
    assert not subject.covers(11)


def test_an_outcome_that_was_told_is_kept_as_the_ledger_would_have_it() -> None:
    status = told(Status.SENT)
    assert final_status(dispatch(), closed_by(status, NOW).final) == status


def partition(memory: Memory | None = None, *, finished: int = 3, of: int = 10) -> Partition:
    subject = Partition(0, memory)
    for offset in range(of):
        subject.tracker.started(offset)
    for offset in range(1, finished + 1):
        subject.tracker.finished(offset)
    return subject


def test_nothing_is_committed_twice_but_what_a_successor_would_read_back_to() -> None:
    now = NOW
    commits, subject = Commits(4096, 10, 5, lambda: now), partition()
    first = commits.due(subject, BEFORE)
    assert first is not None
    assert decode(first.metadata, first.offset) == Memory(BEFORE, NOW, 10, 5, (Span(1, 4),))
    assert commits.due(subject, BEFORE) is None
    assert commits.due(subject, AFTER) is not None
    assert commits.due(subject, NOTHING_BEGUN) is not None
    now += int(REFRESH * 1000)
    assert commits.due(subject, NOTHING_BEGUN) is not None


def test_until_a_takeover_is_over_its_epoch_and_its_time_are_passed_on() -> None:
    commits = Commits(4096, 10, 5, lambda: NOW + 5)
    due = commits.due(partition(Memory(BEFORE, NOW, 7, 5, ())), AFTER)
    assert due is not None
    memory = decode(due.metadata, due.offset)
    assert memory is not None
    assert (memory.epoch, memory.complete_at) == (BEFORE, NOW)


def test_while_the_map_does_not_fit_its_time_stands_still_and_nothing_more_is_taken_in() -> None:
    now = NOW
    commits, subject = Commits(128, 1000, 5, lambda: now), partition(finished=0, of=400)
    complete = commits.due(subject, BEFORE)
    assert complete is not None
    assert subject.cramped is False
    now += 1000
    for offset in range(1, 300, 2):
        subject.tracker.finished(offset)
    truncated = commits.due(subject, BEFORE)
    assert truncated is not None
    memory = decode(truncated.metadata, truncated.offset)
    assert memory is not None
    assert memory.complete_at == NOW
    assert memory.finished == tuple(Span(n, n + 1) for n in range(1, 2 * len(memory.finished), 2))
    assert bool(subject.cramped)
    for offset in range(0, 300, 2):
        subject.tracker.finished(offset)
    assert commits.due(subject, BEFORE) is not None
    assert bool(subject.cramped) is False
