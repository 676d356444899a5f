"""Who may connect: end users by their token, from pages that may."""

from urllib.parse import urlsplit

from aiohttp import web

from pipeline.events.canonical import Problem
from pipeline.gateway.auth.tokens import InvalidToken, Tokens
from pipeline.gateway.problems import Refused, bad_request
from pipeline.realtime.feed import Caller

LARGEST_PLACE = 2**63 - 1


class Door:
    """Verifies tokens as the gateway does, and origins: `origins` are those beside the one that a request was sent to.

    A browser names the page's origin and lets any page connect by WebSocket: so it is refused here. What is no browser
    names none.
    """

    def __init__(self, tokens: Tokens, origins: frozenset[str]) -> None:
        self._tokens = tokens
        self._origins = origins

    async def caller(self, token: str, transport: str) -> Caller:
        """Whose token it is.

        Raises:
            Refused: 401, it is not valid, or there is none.
            Unavailable: the keys that verify it cannot be had now.
        """
        if not token:
            raise _unknown(
                "Give the user's token: Authorization: Bearer …, ?access_token=…, or Socket.IO's auth.token."
            )
        try:
            session = await self._tokens.session(token)
        except InvalidToken as error:
            raise _unknown(f"Not accepted: {error}.", ', error="invalid_token"') from None
        return Caller(session.user.user_id, transport, session.expires_at)

    def check_origin(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            Refused: 403, the page that sends it is none that may.
        """
        origin = request.headers.get("Origin")
        if origin is None or origin in self._origins or urlsplit(origin).netloc == _host(request):
            return
        raise Refused(403, "Pages of this origin may not connect: list it in realtime.origins.")


def token_of(request: web.Request) -> str:
    """``Authorization: Bearer``, or for `EventSource`, which sends no headers, ``access_token`` (or ``token``) in the query."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    return request.query.get("access_token") or request.query.get("token") or ""


def read_cursor(text: object) -> int | None:
    """The place that a client names when it comes back; None: it names none.

    Raises:
        Refused: 400, it is none that was given out here.
    """
    if text is None or text == "":
        return None
    if isinstance(text, (str, int)) and not isinstance(text, bool):
        digits = str(text)
        if digits.isascii() and digits.isdecimal() and int(digits) <= LARGEST_PLACE:
            return int(digits)
    raise bad_request([Problem("/after", "is no cursor that was given out here")])


def _host(request: web.Request) -> str:
    return request.headers.get("X-Forwarded-Host", "").split(",")[0].strip() or request.headers.get("Host", "")


def _unknown(detail: str, error: str = "") -> Refused:
    """401 with the challenge of RFC 6750."""
    return Refused(401, detail, headers={"WWW-Authenticate": f'Bearer realm="notifications"{error}'})
