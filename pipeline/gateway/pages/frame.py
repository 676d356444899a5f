"""What all pages have in common: the reader's language, forms, and errors as pages."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from aiohttp import web
from msgspec import Meta

from pipeline.errors import Unavailable
from pipeline.gateway.pages.forms import FORM, MULTIPART, Fields, parse_form
from pipeline.gateway.pages.rendering import PageRenderer
from pipeline.gateway.pages.texts import Texts, Voice
from pipeline.gateway.routes import Call
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

Token = Annotated[str, Meta(min_length=1, max_length=8_192, description="A signed token, as it stood in the message.")]

_AWAY: tuple[type[Exception], ...] = (Unavailable, *REDIS_AWAY)

FORM_ENCODINGS = (FORM, MULTIPART)
RETRY_AFTER = "5"
MOST_BYTES = 262_144
"""Of a form; the pages make none of more than some kilobytes."""


class NoPage(Exception):
    """Instead of the page that was asked for, one that says why there is none: `name` is that of its text."""

    def __init__(self, status: int, name: str) -> None:
        super().__init__(name)
        self.status = status
        self.name = name


class Frame(NamedTuple):
    """Around every page."""

    texts: Texts
    render: PageRenderer

    def voice(self, call: Call, locale: str | None = None) -> Voice:
        """In the language of the reader's profile, else their browser's."""
        return self.texts.voice(locale, call.request.headers.get("Accept-Language", ""))

    async def answer(self, call: Call, make: Callable[[], Awaitable[web.Response]]) -> web.Response:
        """The page that `make` makes, or one that says what is wrong."""
        try:
            return await make()
        except NoPage as error:
            return self._sorry(call, error.status, error.name)
        except _AWAY as error:
            logger.warning("a page needs a server that is away: %s", error, extra={"request_id": call.request_id})
            page = self._sorry(call, 503, "away")
            page.headers["Retry-After"] = RETRY_AFTER
            return page

    def _sorry(self, call: Call, status: int, name: str) -> web.Response:
        say = self.voice(call)
        return self.render.message(say, say(f"{name}_title"), [say(name)], status)


def read_form(body: bytes, call: Call) -> Fields:
    """The form's fields.

    Raises:
        NoPage: it cannot be read.
    """
    if len(body) > MOST_BYTES:
        raise NoPage(413, "bad_form")
    try:
        return parse_form(body, call.request.headers.get("Content-Type", ""))
    except (ValueError, LookupError):
        raise NoPage(400, "bad_form") from None
