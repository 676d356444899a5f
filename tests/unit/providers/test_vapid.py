import base64

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.errors import ConfigurationError
from pipeline.providers.vapid import LIFETIME, Vapid, public_key, read_private_key

SUBJECT = "mailto:push@example.com"
KEY = ec.generate_private_key(ec.SECP256R1())
RAW = base64.urlsafe_b64encode(KEY.private_numbers().private_value.to_bytes(32, "big")).rstrip(b"=").decode()
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class Clock:
    now = 1_771_840_800.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("key", [RAW, PEM], ids=["base64url", "PEM"])
def test_a_push_service_can_check_who_we_are(key: str) -> None:
    clock = Clock()
    scheme, _, fields = Vapid(key, SUBJECT, clock).header("https://push.example.com").partition(" ")
    parts = dict(field.split("=", 1) for field in fields.split(","))
    claims = jwt.decode(
        parts["t"], KEY.public_key(), ["ES256"], audience="https://push.example.com", options={"verify_exp": False}
    )
    assert (scheme, parts["k"]) == ("vapid", public_key(KEY))
    assert claims == {"aud": "https://push.example.com", "exp": int(clock.now) + LIFETIME, "sub": SUBJECT}
    assert claims["exp"] - clock.now <= 86_400, "RFC 8292 allows a day"


def test_each_service_has_a_header_of_its_own_and_keeps_it_until_it_ages() -> None:
    clock = Clock()
    vapid = Vapid(RAW, SUBJECT, clock)
    first, other = vapid.header("https://a.example"), vapid.header("https://b.example")
    assert first != other
    clock.now += LIFETIME / 2
    assert vapid.header("https://a.example") == first
    clock.now += LIFETIME / 2
    assert vapid.header("https://a.example") != first


def test_the_number_of_services_does_not_fill_the_memory() -> None:
    vapid = Vapid(RAW, SUBJECT, Clock())
    for number in range(1_100):
        vapid.header(f"https://{number}.example")
    assert len(vapid._headers) <= 1_000


@pytest.mark.parametrize(
    "key", ["", "x", "A" * 40, "4lIeu3t7OcHsT_ohM1-eoOj1lxUaaFyU5g2DlQhCAw", "-----BEGIN NOTHING-----", "é" * 43]
)
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.webpush\.vapid_key") as refused:
        read_private_key(key)
    assert not key or key not in str(refused.value).replace("x web", "")


@pytest.mark.parametrize("subject", ["", "push@example.com", "http://example.com", "mailto:"])
def test_a_subject_that_services_would_refuse_says_how_to_write_it(subject: str) -> None:
    with pytest.raises(ConfigurationError, match="mailto:"):
        Vapid(RAW, subject)
