"""End users' JSON Web Tokens: who the token says they are, if it may be believed.

A key decides which algorithm it verifies, never the token: the shared secret verifies HS256 alone, an RSA key of the
JWKS RS256 alone, a P-256 key ES256 alone (RFC 8725, sections 3.1 and 3.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from pipeline.config import JwtSettings
from pipeline.gateway.access import EndUser

MAX_TOKEN = 8_192
MAX_SUBJECT = 255


class PublicKeys(Protocol):
    """Where public keys are found."""

    async def find(self, algorithm: str, key_id: str | None) -> jwt.PyJWK | None:
        """The key for that algorithm and id; without an id the only key for the algorithm. None: there is none.

        Raises:
            Unavailable: the keys cannot be had now.
        """


class InvalidToken(Exception):
    """A token is not to be believed; the text says why and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who a token speaks for, and until when: `expires_at` in seconds since 1970, the leeway included."""

    user: EndUser
    expires_at: float


class Tokens:
    """Verifies tokens as the settings say."""

    def __init__(self, settings: JwtSettings, public_keys: PublicKeys | None) -> None:
        self._settings = settings
        self._public_keys = public_keys
        self._secret = settings.hs256_secret.get_secret_value()

    async def verify(self, token: str) -> EndUser:
        """Whose token it is. Raises as `session`."""
        return (await self.session(token)).user

    async def session(self, token: str) -> Session:
        """Whose token it is, and how long that holds.

        Raises:
            InvalidToken: it is malformed, expired, for another audience, or not signed by a key of ours.
            Unavailable: the public keys cannot be had now.
        """
        if len(token) > MAX_TOKEN:
            raise InvalidToken("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise InvalidToken("the token is malformed") from None
        key, algorithm = await self._key(header)
        claims = self._claims(token, key, algorithm)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or "\0" in subject:
            raise InvalidToken("sub is no user's id")
        return Session(EndUser(subject), float(claims["exp"]) + self._settings.leeway)

    async def _key(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and self._secret:
            return self._secret, "HS256"
        if algorithm in ("RS256", "ES256") and self._public_keys is not None:
            key = await self._public_keys.find(algorithm, key_id if isinstance(key_id, str) else None)
            if key is None:
                raise InvalidToken("the token is signed with a key that is not in the JWKS")
            return key.key, algorithm
        raise InvalidToken("the token's algorithm is not accepted here")

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer or None,
                leeway=self._settings.leeway,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise InvalidToken("the token is for another audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"the token lacks {error.claim}") from None
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError, TypeError):
            raise InvalidToken("the token is not valid") from None
