"""Which tokens of end users are believed."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from pipeline.config import JwtSettings
from pipeline.gateway.auth.tokens import InvalidToken, Tokens

SECRET = "s" * 40
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class TwoKeys:
    """A JWKS with an RSA key `r` and a P-256 key `e`."""

    def __init__(self) -> None:
        rsa_jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key()))
        ec_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key()))
        self._keys = {"RS256": ("r", jwt.PyJWK(rsa_jwk, "RS256")), "ES256": ("e", jwt.PyJWK(ec_jwk, "ES256"))}

    async def find(self, algorithm: str, key_id: str | None) -> jwt.PyJWK | None:
        known, key = self._keys[algorithm]
        return key if key_id in (None, known) else None


def claims(**changes: Any) -> dict[str, Any]:
    all_ = {"sub": "alice", "aud": "notifications", "exp": time.time() + 3_600, **changes}
    return {name: value for name, value in all_.items() if value is not None}


def hs256(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


def unsigned(header: dict[str, Any], payload: dict[str, Any]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part(header)}.{part(payload)}."


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(JwtSettings(hs256_secret=SecretStr(SECRET), leeway=300), TwoKeys())


@pytest.mark.parametrize(
    "token",
    [
        hs256(),
        jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "r"}),
        jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "e"}),
        jwt.encode(claims(), EC_KEY, "ES256"),
        hs256(aud=["other", "notifications"]),
    ],
    ids=["HS256", "RS256", "ES256", "without kid", "one audience of several"],
)
async def test_a_good_token_says_who_it_is(tokens: Tokens, token: str) -> None:
    assert (await tokens.verify(token)).user_id == "alice"


async def test_a_token_that_has_expired_within_the_leeway_is_good(tokens: Tokens) -> None:
    assert (await tokens.verify(hs256(exp=time.time() - 5))).user_id == "alice"


PUBLIC_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def confused() -> str:
    """HS256 over the RSA public key, which everybody knows: the classic confusion of algorithms."""
    import hashlib
    import hmac

    head = unsigned({"alg": "HS256", "typ": "JWT", "kid": "r"}, claims()).rstrip(".")
    signature = hmac.new(PUBLIC_PEM, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "token",
    [
        unsigned({"alg": "none"}, claims()),
        unsigned({"alg": "NONE", "kid": "r"}, claims()),
        unsigned({"alg": "RS256", "kid": "r"}, claims()),
        confused(),
        jwt.encode(claims(), "t" * 40, "HS256"),
        jwt.encode(claims(), SECRET + "s" * 40, "HS512"),
        jwt.encode(claims(), RSA_KEY, "RS512", headers={"kid": "r"}),
        jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "unknown"}),
        jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "r"}),
        hs256(exp=time.time() - 600),
        hs256(exp=None),
        hs256(aud="elsewhere"),
        hs256(aud=None),
        hs256(sub=None),
        hs256(sub=""),
        hs256(sub="x" * 256),
        hs256(sub="a\0b"),
        hs256(nbf=time.time() + 3_600),
        "a.b.c",
        "",
        hs256() + "x",
        hs256(padding="x" * 9_000),
    ],
)
async def test_a_bad_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidToken):
        await tokens.verify(token)


async def test_without_secret_and_keys_nobody_gets_in() -> None:
    closed = Tokens(JwtSettings(), None)
    for token in (hs256(), unsigned({"alg": "HS256"}, claims())):
        with pytest.raises(InvalidToken):
            await closed.verify(token)


async def test_the_issuer_counts_where_one_is_set() -> None:
    tokens = Tokens(JwtSettings(hs256_secret=SecretStr(SECRET), issuer="https://id.example.com"), None)
    assert (await tokens.verify(hs256(iss="https://id.example.com"))).user_id == "alice"
    for issuer in (None, "https://evil.example.com"):
        with pytest.raises(InvalidToken):
            await tokens.verify(hs256(iss=issuer))


def test_a_secret_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        JwtSettings(hs256_secret=SecretStr("short"))
