"""``/u/{token}``: the unsubscribe page, and one-click unsubscribe (RFC 8058)."""

import logging
import time
from collections.abc import Callable

from aiohttp import web

from pipeline.catalogue.model import Catalogue, Category, Stream
from pipeline.channels.unsubscribe import Unsubscribe, verify
from pipeline.errors import Unavailable
from pipeline.events.references import Feedback
from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.gateway.pages.applying import People
from pipeline.gateway.pages.choices import Stop, marketing, stoppable, title_of
from pipeline.gateway.pages.forms import Fields
from pipeline.gateway.pages.frame import FORM_ENCODINGS, Frame, NoPage, Token, read_form
from pipeline.gateway.pages.texts import Voice
from pipeline.gateway.routes import Call, Route, Routes
from pipeline.gateway.tracking.recorder import Recorder, Seen
from pipeline.users.snapshot import UserSnapshot

logger = logging.getLogger(__name__)

ONE_CLICK = ("List-Unsubscribe", "One-Click")
"""What a mailbox provider posts: RFC 8058, section 3.2."""

ONE_CLICK_SOURCE = "one_click"
PAGE_SOURCE = "unsubscribe_page"

HTML = "text/html"

_FORM = {
    "type": "object",
    "properties": {
        "List-Unsubscribe": {"type": "string", "const": "One-Click"},
        "scope": {"type": "string", "enum": ["category", "stream"]},
    },
}


class UnsubscribeRoutes:
    """Handlers. A GET changes nothing, since scanners follow every link."""

    def __init__(
        self,
        secret: bytes,
        people: People,
        catalogue: Catalogue,
        frame: Frame,
        feedback: FeedbackWriter,
        recorder: Recorder,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._secret = secret
        self._people = people
        self._catalogue = catalogue
        self._frame = frame
        self._feedback = feedback
        self._recorder = recorder
        self._now_ms = now_ms

    def table(self) -> Routes:
        path, tag = "/u/{token}", "pages"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.unsubscribe_page,
                access=None,
                summary="A page with a button to unsubscribe; changes nothing",
                tag=tag,
                answers=dict.fromkeys((200, 404, 503), HTML),
            ),
            Route(
                method="POST",
                path=path,
                handler=self.unsubscribe,
                access=None,
                summary="Unsubscribe, by the page's button or by one click (RFC 8058)",
                tag=tag,
                request=dict.fromkeys(FORM_ENCODINGS, _FORM),
                answers=dict.fromkeys((200, 400, 404, 413, 503), HTML),
            ),
        ]

    async def unsubscribe_page(self, token: Token, call: Call) -> web.Response:
        return await self._frame.answer(call, lambda: self._show(token, call))

    async def unsubscribe(self, token: Token, body: bytes, call: Call) -> web.Response:
        """Effective for the next event that is routed. Doing it again changes nothing."""
        return await self._frame.answer(call, lambda: self._unsubscribe(token, body, call))

    async def _show(self, token: str, call: Call) -> web.Response:
        claim = self._claim(token)
        user = await self._people.find(claim.user_id)
        say = self._frame.voice(call, user.locale)
        return self._frame.render.page(
            "unsubscribe",
            say,
            say("unsubscribe_title"),
            category=self._title(claim, say),
            channel=say(f"channel_{claim.channel}"),
            offers_all=self._stream_of(claim) is not None,
        )

    async def _unsubscribe(self, token: str, body: bytes, call: Call) -> web.Response:
        claim = self._claim(token)
        form = read_form(body, call)
        user = await self._people.find(claim.user_id)
        stopped = await self._carry_out(claim, user, form)
        await self._tell(claim, call)
        say = self._frame.voice(call, user.locale)
        channel = say(f"channel_{claim.channel}")
        what = say("unsubscribed_all", channel=channel)
        if not stopped:
            what = say("unsubscribed", category=self._title(claim, say), channel=channel)
        return self._frame.render.message(say, say("unsubscribed_title"), [what, say("unsubscribed_mandatory")])

    async def _carry_out(self, claim: Unsubscribe, user: UserSnapshot, form: Fields) -> bool:
        """Whether the whole stream was stopped. Who is not known (any more) gets nothing, and nothing is kept of them.

        Raises:
            NoPage: the form is neither ours nor one click's.
        """
        scope = dict(form).get("scope")
        stream = self._stream_of(claim) if scope == "stream" else None
        if scope != "category" and stream is None and ONE_CLICK not in form:
            raise NoPage(400, "bad_form")
        if user.known:
            await self._people.unsubscribe(user, claim, ONE_CLICK_SOURCE if ONE_CLICK in form else PAGE_SOURCE)
            if stream is not None:
                await self._people.stop_stream(user, Stop(claim.channel, stream, on=True))
        return stream is not None

    async def _tell(self, claim: Unsubscribe, call: Call) -> None:
        """Tell the status topic, or see to it that it is told later: what was asked for is done by now."""
        if claim.reference is None:
            return
        told = Feedback(status=Status.UNSUBSCRIBED, reason=Reason.OPTED_OUT, occurred_at=self._now_ms())
        try:
            await self._feedback.write([(claim.reference, told)])
        except Unavailable as error:
            logger.warning("`unsubscribed` is told later: %s", error, extra={"request_id": call.request_id})
            self._recorder.put(Seen(claim.reference, told, always=True))

    def _claim(self, token: str) -> Unsubscribe:
        claim = verify(token, self._secret)
        if claim is None:
            raise NoPage(404, "bad_link")
        return claim

    def _title(self, claim: Unsubscribe, say: Voice) -> str:
        return title_of(self._category(claim), say)

    def _category(self, claim: Unsubscribe) -> Category:
        """As the catalogue has it; one that is gone from it as far as its name goes."""
        return self._catalogue.categories.get(claim.category) or Category(claim.category, Stream.TRANSACTIONAL, False)

    def _stream_of(self, claim: Unsubscribe) -> Stream | None:
        """The stream that can be stopped as a whole: marketing, where more than this category is in it."""
        names = marketing(self._catalogue)
        whole = claim.category in names and len(names) > 1 and claim.channel in stoppable(self._catalogue)
        return Stream.MARKETING if whole else None
