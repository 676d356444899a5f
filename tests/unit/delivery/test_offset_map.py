from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.offset_map import MAGIC, Memory, Span, decode, encode

KAFKAS_LIMIT = 4096


@st.composite
def memories(draw: st.DrawFn) -> tuple[Memory, int]:
    base = draw(st.integers(0, 2**62))
    steps = draw(st.lists(st.integers(1, 300), max_size=300))
    edges = list(accumulate(steps, initial=base + draw(st.integers(0, 5))))
    spans = tuple(Span(a, b) for a, b in list(pairwise(edges))[::2])
    return Memory(
        draw(st.text(max_size=20)),
        draw(st.integers(0, 2**43)),
        draw(st.integers(1, 10**6)),
        draw(st.integers(1, 999)),
        spans,
    ), base


@given(memories(), st.integers(0, KAFKAS_LIMIT))
def test_what_fits_reads_back_the_same_and_what_does_not_loses_only_its_end(
    memory_and_base: tuple[Memory, int], limit: int
) -> None:
    memory, base = memory_and_base
    text, complete = encode(memory, base, limit)
    assert len(text.encode()) <= limit
    read = decode(text, base)
    if complete:
        assert read == memory
        return
    if text:
        assert read is not None
        assert read[:4] == memory[:4]
        assert read.finished == memory.finished[: len(read.finished)] != memory.finished
        more, _ = encode(memory._replace(finished=memory.finished[: len(read.finished) + 1]), base, KAFKAS_LIMIT * 9)
        assert len(more) > limit - 4, "there was room for one more run"
    else:
        assert read is None


def test_a_thousand_runs_of_single_offsets_fit_into_what_a_broker_takes() -> None:
    spans = tuple(Span(n, n + 1) for n in range(10_001, 12_001, 2))
    text, complete = encode(Memory("0123456789abcdef", 1_700_000_000_000, 2000, 32, spans), 10_000, KAFKAS_LIMIT)
    assert complete
    assert len(text) < KAFKAS_LIMIT * 0.7


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "from another tool",
        MAGIC,
        MAGIC + "!",
        MAGIC + "AAAAAAAA",
        MAGIC + "/////w==",
        "n2:AQ==",
        MAGIC + "gA==",
    ],
)
def test_what_we_did_not_write_is_not_believed(text: str | None) -> None:
    assert decode(text, 5) is None


@given(st.binary(max_size=60))
def test_no_text_whatsoever_breaks_the_reader(data: bytes) -> None:
    decode(MAGIC + data.hex(), 0)
    decode(data.decode("latin-1"), 0)
