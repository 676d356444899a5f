"""``/t/o/{token}`` and ``/t/c/{token}``: an open pixel, and links that were followed."""

import base64
import time
from collections.abc import Callable
from typing import Annotated, Protocol

from aiohttp import web
from msgspec import Meta

from pipeline.channels.tracking import Open, verify_click, verify_open
from pipeline.config import TrackingSettings
from pipeline.events.references import Feedback
from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.problems import Refused
from pipeline.gateway.routes import Call, Route, Routes
from pipeline.gateway.tracking.recorder import Seen
from pipeline.gateway.tracking.visitors import visitor

Token = Annotated[str, Meta(min_length=1, max_length=8_192, description="A signed token, as it stood in the message.")]

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one pixel."""

MACHINE = "machine"
"""Tells apart what machines did: a person's first open after it is told too."""


class Recorder(Protocol):
    def put(self, seen: Seen) -> None: ...


class TrackingRoutes:
    """Handlers. What a token says is trusted for it is signed; nothing is looked up before the answer."""

    def __init__(
        self,
        settings: TrackingSettings,
        recorder: Recorder,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._secret = settings.secret.get_secret_value().encode()
        self._soonest_ms = int(settings.soonest * 1000)
        self._recorder = recorder
        self._now_ms = now_ms

    def table(self) -> Routes:
        tag = "tracking"
        click = "/t/c/{token}"
        return [
            Route(
                method="GET",
                path="/t/o/{token}",
                handler=self.open_pixel,
                access=None,
                summary="The open pixel of a mail",
                tag=tag,
                problems=(404,),
                answers={200: "image/gif"},
            ),
            Route(
                method="GET",
                path=click,
                handler=self.follow_link,
                access=None,
                summary="Follow a link of a mail",
                tag=tag,
                problems=(404,),
                answers={302: ""},
            ),
            Route(
                method="HEAD",
                path=click,
                handler=self.look_at_link,
                access=None,
                summary="Where a link of a mail leads",
                tag=tag,
                problems=(404,),
                answers={302: ""},
            ),
        ]

    async def open_pixel(self, token: Token, call: Call) -> web.Response:
        message = verify_open(token, self._secret)
        if message is None:
            raise _unknown()
        self._tell(call, message, Status.OPENED, "")
        headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "no-store, private, max-age=0"}
        return web.Response(body=PIXEL, content_type="image/gif", headers=headers)

    async def follow_link(self, token: Token, call: Call) -> web.Response:
        """Only to links that we signed: a token leads where the mail's own link led, and nowhere else."""
        click = verify_click(token, self._secret)
        if click is None:
            raise _unknown()
        self._tell(call, click.message, Status.CLICKED, click.url)
        return web.Response(status=302, headers={"Location": click.url})

    async def look_at_link(self, token: Token) -> web.Response:
        """Nobody follows a link by HEAD: nothing is told."""
        click = verify_click(token, self._secret)
        if click is None:
            raise _unknown()
        return web.Response(status=302, headers={"Location": click.url})

    def _tell(self, call: Call, message: Open, status: Status, link: str) -> None:
        now = self._now_ms()
        who = visitor(call.request.headers, now - message.prepared_at, self._soonest_ms)
        feedback = Feedback(
            status=status,
            reason=Reason.BY_MACHINE if who.machine else Reason.REPORTED,
            occurred_at=now,
            provider=who.via,
            detail=f"{MACHINE if who.machine else ''} {link}".strip(),
        )
        self._recorder.put(Seen(message.reference, feedback))


def _unknown() -> Refused:
    return Refused(404, "This link was not made here, or was changed on its way.")
