"""``/p/{token}``: a person's preferences, by a signed link and without a login."""

import time
from collections.abc import Callable

from aiohttp import web

from pipeline.catalogue.model import Catalogue
from pipeline.channels.unsubscribe import verify_preferences
from pipeline.gateway.pages.applying import People
from pipeline.gateway.pages.choices import WrongTime, changes, preference_page
from pipeline.gateway.pages.frame import FORM_ENCODINGS, Frame, NoPage, Token, read_form
from pipeline.gateway.pages.unsubscribe import HTML
from pipeline.gateway.routes import Call, Route, Routes
from pipeline.users.snapshot import UserSnapshot

SOURCE = "preference_page"

_FORM = {
    "type": "object",
    "properties": {
        "shown": {"type": "array", "items": {"type": "string"}, "description": "Every box that the page showed."},
        "on": {"type": "array", "items": {"type": "string"}, "description": "Those of them that are ticked."},
        "quiet_start": {"type": "string"},
        "quiet_end": {"type": "string"},
    },
}


class PreferencePageRoutes:
    """Handlers. The token is all the proof there is, so it is good for `lifetime` seconds."""

    def __init__(
        self,
        secret: bytes,
        lifetime: float,
        people: People,
        catalogue: Catalogue,
        frame: Frame,
        *,
        tracked: bool,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`tracked`: mail is tracked here at all, so that there is something to opt out of."""
        self._secret = secret
        self._lifetime_ms = lifetime * 1000
        self._people = people
        self._catalogue = catalogue
        self._frame = frame
        self._tracked = tracked
        self._now_ms = now_ms

    def table(self) -> Routes:
        path, tag = "/p/{token}", "pages"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.preference_page,
                access=None,
                summary="A page of somebody's preferences",
                tag=tag,
                answers=dict.fromkeys((200, 404, 410, 503), HTML),
            ),
            Route(
                method="POST",
                path=path,
                handler=self.save_preferences,
                access=None,
                summary="Save what was chosen on the page",
                tag=tag,
                request=dict.fromkeys(FORM_ENCODINGS, _FORM),
                answers={303: "", **dict.fromkeys((400, 404, 410, 413, 503), HTML)},
            ),
        ]

    async def preference_page(self, token: Token, call: Call) -> web.Response:
        return await self._frame.answer(call, lambda: self._show(token, call))

    async def save_preferences(self, token: Token, body: bytes, call: Call) -> web.Response:
        """Effective for the next event that is routed."""
        return await self._frame.answer(call, lambda: self._save(token, body, call))

    async def _show(self, token: str, call: Call) -> web.Response:
        user = await self._user(token)
        return self._page(user, call, saved="saved" in call.request.query)

    async def _save(self, token: str, body: bytes, call: Call) -> web.Response:
        user = await self._user(token)
        form = read_form(body, call)
        try:
            asked = changes(self._catalogue, user, form)
        except WrongTime:
            return self._page(user, call, wrong=True)
        version = self._frame.voice(call, user.locale)("tracking_version")
        await self._people.apply(user, asked, self._people.wording(SOURCE, version))
        return web.Response(status=303, headers={"Location": "?saved"})

    def _page(self, user: UserSnapshot, call: Call, *, saved: bool = False, wrong: bool = False) -> web.Response:
        say = self._frame.voice(call, user.locale)
        page = preference_page(self._catalogue, user, say, tracked=self._tracked)
        status = 400 if wrong else 200
        return self._frame.render.page(
            "preferences", say, say("preferences_title"), status, page=page, saved=saved, wrong=wrong
        )

    async def _user(self, token: str) -> UserSnapshot:
        """Whose link it is.

        Raises:
            NoPage: it is none of ours, too old, or of somebody who is not known any more.
        """
        link = verify_preferences(token, self._secret)
        if link is None:
            raise NoPage(404, "bad_link")
        if self._now_ms() - link.issued_at > self._lifetime_ms:
            raise NoPage(410, "old_link")
        user = await self._people.find(link.user_id)
        if not user.known:
            raise NoPage(404, "bad_link")
        return user
