from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.pages.forms import FORM, MULTIPART, parse_form

FIELDS = [("List-Unsubscribe", "One-Click"), ("on", "email:orders"), ("on", "größer"), ("empty", "")]


def test_both_encodings_say_the_same() -> None:
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in FIELDS)
    multipart = f"{parts}--b--\r\n".encode()
    assert parse_form(multipart, f"{MULTIPART}; boundary=b") == FIELDS
    assert parse_form(urlencode(FIELDS).encode(), FORM) == FIELDS


@given(
    st.binary(max_size=200), st.sampled_from([FORM, MULTIPART, f"{MULTIPART}; boundary=b", f"{MULTIPART}; boundary="])
)
def test_anything_is_fields_or_a_clear_no(body: bytes, kind: str) -> None:
    try:
        fields = parse_form(body, kind)
    except (ValueError, LookupError):
        return
    assert len(fields) <= max(1, len(body))


def test_no_end_of_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="field"):
        parse_form(b"a=1&" * 2_000, FORM)
