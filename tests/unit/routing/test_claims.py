"""Claims: the same record is recognised as itself, any other with its key is a duplicate."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Verdict
from pipeline.routing.claims import StoredClaim, decode_claim, encode_claim, next_claim, read_claim, round_claim
from pipeline.routing.ruling import ChannelRuling, Ruling

CHANNELS = [ChannelRuling(Channel.PUSH, Verdict.DISPATCH, Reason.ALLOWED, "allowed", "n-1", "generic")]


def ruling(kind: Kind = Kind.REQUEST, channels: list[ChannelRuling] | None = None) -> Ruling:
    return Ruling(
        kind=kind,
        category="orders",
        stream="transactional",
        priority=Priority.NORMAL,
        template="generic",
        collapse_key=None,
        expires_at=None,
        rule="per_channel",
        channels=CHANNELS if channels is None else channels,
    )


def claimed(partition: int = 3, offset: int = 7) -> StoredClaim:
    claim = next_claim(None, ruling(), partition, offset, Origin.INGEST, 1_000)
    assert claim is not None
    return claim


def test_the_first_record_with_a_key_is_no_duplicate() -> None:
    claim = read_claim(None, 0, 0, Origin.INGEST)
    assert (claim.duplicate, claim.cancelled, claim.earlier) == (False, False, None)


@given(st.integers(0, 5), st.integers(0, 5))
def test_another_record_with_the_same_key_is_a_duplicate(partition: int, offset: int) -> None:
    claim = read_claim(claimed(3, 3), partition, offset, Origin.INGEST)
    assert claim.duplicate == ((partition, offset) != (3, 3))


def test_the_same_record_routed_again_repeats_what_was_decided_then() -> None:
    claim = read_claim(claimed(), 3, 7, Origin.INGEST)
    assert claim.earlier is not None
    assert [(e.channel, e.verdict, e.reason, e.rule, e.decided_at) for e in claim.earlier] == [
        (Channel.PUSH, Verdict.DISPATCH, Reason.ALLOWED, "allowed", 1_000)
    ]


def test_what_was_released_or_replayed_is_no_duplicate_of_itself() -> None:
    for origin in (Origin.RELEASED, Origin.REPLAYED):
        assert not read_claim(claimed(), 9, 9, origin).duplicate
        assert next_claim(claimed(), ruling(), 9, 9, origin, 2_000) is None


def test_a_round_that_was_decided_is_decided_the_same_way_wherever_it_comes_from() -> None:
    told = round_claim(ruling(), 9, 9, 5_000)
    claim = read_claim(claimed(), 4, 44, Origin.RELEASED, told)
    assert claim.earlier is not None
    assert [(e.channel, e.verdict, e.decided_at) for e in claim.earlier] == [(Channel.PUSH, Verdict.DISPATCH, 5_000)]


def test_a_cancel_is_seen_by_a_round_that_is_decided_for_the_first_time() -> None:
    cancelled = next_claim(claimed(), ruling(Kind.CANCEL, []), 3, 8, Origin.INGEST, 2_000)
    assert read_claim(cancelled, 9, 9, Origin.RELEASED, None).cancelled


def test_a_cancel_that_comes_first_cancels_the_request_that_follows() -> None:
    cancel = next_claim(None, ruling(Kind.CANCEL, []), 1, 1, Origin.INGEST, 1_000)
    claim = read_claim(cancel, 1, 2, Origin.INGEST)
    assert claim.cancelled
    assert not claim.duplicate


def test_a_request_after_its_cancel_is_claimed_so_that_the_next_one_is_a_duplicate() -> None:
    cancel = next_claim(None, ruling(Kind.CANCEL, []), 1, 1, Origin.INGEST, 1_000)
    request = next_claim(cancel, ruling(), 1, 2, Origin.INGEST, 1_001)
    assert request is not None
    assert read_claim(request, 1, 3, Origin.INGEST).duplicate
    assert read_claim(request, 1, 2, Origin.INGEST).cancelled


def test_a_cancel_after_the_request_keeps_whose_claim_it_is() -> None:
    cancelled = next_claim(claimed(3, 7), ruling(Kind.CANCEL, []), 3, 8, Origin.INGEST, 2_000)
    assert cancelled is not None
    assert (cancelled.partition, cancelled.offset, cancelled.cancelled) == (3, 7, True)
    assert next_claim(cancelled, ruling(Kind.CANCEL, []), 3, 9, Origin.INGEST, 3_000) is None


def test_an_event_without_channels_is_decided_again_rather_than_repeated() -> None:
    claim = next_claim(None, ruling(channels=[]), 1, 1, Origin.INGEST, 1_000)
    assert read_claim(claim, 1, 1, Origin.INGEST).earlier is None


@given(
    st.builds(
        StoredClaim,
        partition=st.integers(-1, 2**31 - 1),
        offset=st.integers(-1, 2**63 - 1),
        decided_at=st.integers(0, 2**53),
        cancelled=st.booleans(),
        channels=st.lists(
            st.tuples(
                st.sampled_from(Channel),
                st.sampled_from(Verdict),
                st.sampled_from(Reason),
                st.none() | st.integers(0, 2**53),
                st.text(max_size=20),
            )
        ),
    )
)
def test_a_claim_comes_back_from_redis_as_it_went(claim: StoredClaim) -> None:
    assert decode_claim(encode_claim(claim)) == claim
