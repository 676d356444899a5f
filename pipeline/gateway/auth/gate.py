"""Who is calling, and whether they have called too often."""

from collections.abc import Mapping

from pipeline.config import GatewaySettings
from pipeline.gateway.access import Caller, EndUser, Service
from pipeline.gateway.auth.keyring import Keyring
from pipeline.gateway.auth.keys import PREFIX, parse_key
from pipeline.gateway.auth.limits import Limits
from pipeline.gateway.auth.tokens import InvalidToken, Tokens
from pipeline.gateway.problems import Refused


class Gate:
    """Authenticates each request by its headers."""

    def __init__(self, keyring: Keyring, tokens: Tokens, limits: Limits, settings: GatewaySettings) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._limits = limits
        self._settings = settings

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who is calling: ``Authorization: Bearer`` an API key or a JWT, or ``X-API-Key``.

        Raises:
            Refused: 401 nobody we know, 429 too often.
            Unavailable: where keys are kept is away.
        """
        caller = await self._known(headers)
        if isinstance(caller, Service):
            wait = await self._limits.take(caller.actor, caller.rate, caller.burst)
        else:
            wait = await self._limits.take(caller.actor, self._settings.user_rate, self._settings.user_burst)
        if wait:
            raise Refused(429, "Too many requests.", headers={"Retry-After": str(wait)})
        return caller

    async def _known(self, headers: Mapping[str, str]) -> Caller:
        key = headers.get("X-API-Key")
        scheme, _, credential = headers.get("Authorization", "").partition(" ")
        if key is None and scheme.lower() != "bearer":
            raise _unknown("Give an API key or a token: Authorization: Bearer ….")
        shown = (key if key is not None else credential).strip()
        if key is not None or shown.startswith(PREFIX):
            return await self._service(shown)
        return await self._end_user(shown)

    async def _service(self, shown: str) -> Service:
        parsed = parse_key(shown)
        found = await self._keyring.find(parsed) if parsed else None
        if found is None:
            raise _unknown("The API key is not valid: unknown, revoked or expired.", error="invalid_token")
        return found

    async def _end_user(self, token: str) -> EndUser:
        try:
            return await self._tokens.verify(token)
        except InvalidToken as error:
            raise _unknown(f"Not accepted: {error}.", error="invalid_token") from None


def _unknown(detail: str, error: str = "") -> Refused:
    """401 with the challenge of RFC 6750."""
    challenge = 'Bearer realm="notifications"' + (f', error="{error}"' if error else "")
    return Refused(401, detail, headers={"WWW-Authenticate": challenge})
