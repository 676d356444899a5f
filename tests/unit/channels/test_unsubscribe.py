from hypothesis import given
from hypothesis import strategies as st

from pipeline.channels.unsubscribe import Unsubscribe, sign, verify
from pipeline.events.vocabulary import Channel

CLAIM = Unsubscribe("user_1", "marketing", Channel.EMAIL)
NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)


@given(NAME, NAME, st.sampled_from(Channel), st.binary(min_size=1))
def test_a_token_gives_back_what_was_signed_and_fits_in_a_url(
    user: str, category: str, channel: Channel, secret: bytes
) -> None:
    claim = Unsubscribe(user, category, channel)
    token = sign(claim, secret)
    assert verify(token, secret) == claim
    assert all(c.isalnum() or c in "-_" for c in token)


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_changed_token_opens_nothing(position: int, character: str) -> None:
    token = sign(CLAIM, b"secret")
    at = position % (len(token) - 1)
    changed = token[:at] + character + token[at + 1 :]
    assert changed == token or verify(changed, b"secret") is None


@given(st.text(max_size=80))
def test_anything_else_is_no_token(text: str) -> None:
    assert verify(text, b"secret") is None


def test_another_secret_or_none_opens_nothing() -> None:
    token = sign(CLAIM, b"secret")
    assert verify(token, b"other") is None
    assert verify(sign(CLAIM, b""), b"") is None
