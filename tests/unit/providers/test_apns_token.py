import os
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.errors import ConfigurationError
from pipeline.providers.apns_token import LIFETIME, LOOK_EVERY, NEW_FOR, ProviderToken, read_key


def pem(curve: ec.EllipticCurve | None = None) -> bytes:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Clock:
    def __init__(self) -> None:
        self.now = 1_771_840_800.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "AuthKey_FIRST00001.p8"
    path.write_bytes(pem())
    return path


def token(path: Path, clock: Clock, key_id: str = "") -> ProviderToken:
    return ProviderToken(path, key_id=key_id, team_id="TEAM000001", clock=clock)


def key_id(header: str) -> str:
    return str(jwt.get_unverified_header(header.removeprefix("bearer "))["kid"])


def test_it_is_signed_with_es256_for_the_team(path: Path, clock: Clock) -> None:
    header = token(path, clock).get_header()
    encoded = header.removeprefix("bearer ")
    public = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
    claims = jwt.decode(encoded, public, algorithms=["ES256"], options={"verify_iat": False})  # type: ignore[arg-type]
    assert claims == {"iss": "TEAM000001", "iat": int(clock.now)}
    assert jwt.get_unverified_header(encoded)["kid"] == "FIRST00001"


def test_it_is_renewed_before_it_ages_out_and_not_sooner_than_apns_allows(path: Path, clock: Clock) -> None:
    provider = token(path, clock)
    first = provider.get_header()
    clock.now += LIFETIME - 1
    assert provider.get_header() == first
    clock.now += 1
    assert provider.get_header() != first
    assert 20 * 60 < LIFETIME < 60 * 60


def test_an_exchanged_key_is_used_soon(path: Path, clock: Clock) -> None:
    provider = token(path, clock)
    first = provider.get_header()
    path.write_bytes(pem())
    assert provider.get_header() == first, "it looks at the file now and then, not for each send"
    clock.now += LOOK_EVERY
    assert provider.get_header() != first


def test_the_newest_key_of_a_folder_is_used_with_its_own_id(path: Path, clock: Clock) -> None:
    provider = token(path.parent, clock)
    assert key_id(provider.get_header()) == "FIRST00001"
    fresh = path.parent / "AuthKey_SECOND0002.p8"
    fresh.write_bytes(pem())
    os.utime(fresh, (path.stat().st_mtime + 10,) * 2)
    (path.parent / "notes.txt").write_text("no key")
    clock.now += LOOK_EVERY
    assert key_id(provider.get_header()) == "SECOND0002"


def test_a_half_written_key_leaves_the_old_one_in_use_until_it_is_whole(path: Path, clock: Clock) -> None:
    provider = token(path, clock)
    first = provider.get_header()
    path.write_bytes(pem()[:60])
    clock.now += LOOK_EVERY
    assert provider.get_header() == first
    path.write_bytes(pem())
    clock.now += LOOK_EVERY
    assert provider.get_header() != first


def test_an_expired_token_is_signed_anew_once_however_many_sends_report_it(path: Path, clock: Clock) -> None:
    provider = token(path, clock)
    refused = provider.get_header()
    clock.now += NEW_FOR
    assert provider.renew(refused, expired=True)
    renewed = provider.get_header()
    assert provider.renew(refused, expired=True)
    assert provider.get_header() == renewed


def test_a_token_refused_right_after_it_was_signed_is_not_signed_again(path: Path, clock: Clock) -> None:
    """Our clock is wrong, or Apple's: a new token for each send would be throttled as well."""
    provider = token(path, clock)
    assert not provider.renew(provider.get_header(), expired=True)


def test_an_invalid_token_is_replaced_only_if_its_key_was(path: Path, clock: Clock) -> None:
    provider = token(path, clock)
    refused = provider.get_header()
    clock.now += NEW_FOR
    assert not provider.renew(refused, expired=False)
    path.write_bytes(pem())
    assert provider.renew(refused, expired=False)


@pytest.mark.parametrize("content", [b"", b"no key", pem(ec.SECP384R1())])
def test_what_is_no_p256_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.p8"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"providers\.apns\.signing_key") as refused:
        read_key(path, "ABCDEFGHIJ")
    assert "BEGIN" not in str(refused.value)


def test_an_rsa_key_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "key.p8"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(ConfigurationError, match="P-256"):
        read_key(path, "ABCDEFGHIJ")


def test_a_key_without_an_id_says_how_to_give_it_one(tmp_path: Path) -> None:
    path = tmp_path / "key.p8"
    path.write_bytes(pem())
    with pytest.raises(ConfigurationError, match=r"providers\.apns\.key_id"):
        read_key(path, "")


def test_an_empty_folder_is_no_account(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="AuthKey_"):
        token(tmp_path, clock)
