"""Headers: origin and trace are read from whatever clients send."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.vocabulary import Origin
from pipeline.kafka.tracing import header, origin_of, trace_id

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_id_of_the_specification_is_read() -> None:
    assert trace_id(TRACE) == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_trace_of_zeros_is_no_trace() -> None:
    assert trace_id(b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01") == ""


@given(st.none() | st.binary(max_size=80) | st.binary(max_size=5).map(lambda b: TRACE[:3] + b + TRACE[3 + len(b) :]))
def test_no_header_makes_trace_id_raise(raw: bytes | None) -> None:
    found = trace_id(raw)
    assert found == "" or (len(found) == 32 and int(found, 16))


def test_the_last_header_of_a_name_counts() -> None:
    assert header([("a", b"1"), ("b", b"2"), ("a", b"3")], "a") == b"3"


def test_a_missing_or_unknown_origin_is_ingest() -> None:
    assert origin_of(None) is Origin.INGEST
    assert origin_of([("origin", b"elsewhere")]) is Origin.INGEST
    assert origin_of([("origin", b"released")]) is Origin.RELEASED
