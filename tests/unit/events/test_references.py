import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.references import MAX_SEALED, Reference, Seal
from pipeline.events.vocabulary import Channel, Priority

REFERENCE = Reference(
    notification_id="b7bd4c09-7f6f-5f58-9ac1-4ba0f0f0f0aa",
    event_id="evt-1",
    idempotency_key="order-1",
    recipient_id="ann",
    event_type="order.shipped",
    category="orders",
    source="shop",
    channel=Channel.EMAIL,
    priority=Priority.HIGH,
    stream="transactional",
    rule="allowed",
    policy_version="7",
    created_at=1_771_840_800_000,
    trace_id="0af7651916cd43dd8448eb211c80319c",
)
SEAL = Seal([b"a secret"])

_texts = st.text(max_size=40)


@given(
    st.builds(
        Reference,
        notification_id=st.uuids().map(str),
        event_id=_texts,
        idempotency_key=_texts,
        recipient_id=_texts,
        event_type=_texts,
        category=_texts,
        source=_texts,
        channel=st.sampled_from(Channel),
        priority=st.sampled_from(Priority),
        stream=_texts,
        rule=_texts,
        policy_version=_texts,
        created_at=st.integers(0, 2**53),
        trace_id=_texts,
    )
)
def test_what_is_sealed_comes_back_whole_and_the_same_twice(reference: Reference) -> None:
    sealed = SEAL.close(reference)
    assert SEAL.open(sealed) == reference
    assert SEAL.close(reference) == sealed
    assert not set(sealed) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_every_changed_character_breaks_the_seal() -> None:
    sealed = SEAL.close(REFERENCE)
    for at in range(len(sealed) - 1):  # of the last one some bits are padding
        other = "A" if sealed[at] != "A" else "B"
        assert SEAL.open(sealed[:at] + other + sealed[at + 1 :]) is None
    assert SEAL.open(sealed[:-4]) is None


@pytest.mark.parametrize(
    "text", ["", "!", "é", "A", "AAAA", "A" * 3_000, base64.urlsafe_b64encode(b"x" * 100).decode()]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    assert SEAL.open(text) is None


def test_another_secret_does_not_open_it_and_the_one_before_does() -> None:
    sealed = SEAL.close(REFERENCE)
    assert Seal([b"another"]).open(sealed) is None
    assert Seal([b"another", b"a secret"]).open(sealed) == REFERENCE


def test_nothing_of_it_can_be_read() -> None:
    sealed = SEAL.close(REFERENCE)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert b"ann" not in raw
    assert b"order" not in raw


def test_ids_without_end_travel_without_a_reference() -> None:
    assert SEAL.close(msgspec.structs.replace(REFERENCE, event_id="x" * MAX_SEALED)) == ""
