"""The HTTP side of the simulators: what they received, the latest mails, and how they shall behave."""

import email
import email.policy
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from pipeline.events.vocabulary import Channel
from pipeline.testing.behaviour import Behaviour
from pipeline.testing.providers import Providers
from pipeline.testing.received import Received

CONTROL_VARIABLE = "SIMULATORS_CONTROL_URL"
"""What ``python -m pipeline.testing`` calls the address of this endpoint."""


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    """`channel` None: all of them."""

    behaviour: Behaviour
    channel: Channel | None = None


class Control:
    """``/_control`` on a free local port. Use as an async context manager."""

    def __init__(self, providers: Providers) -> None:
        self.url = ""
        self._providers = providers
        application = web.Application()
        application.router.add_get("/_control/received", self._received)
        application.router.add_get("/_control/last-mail", self._last_mail)
        application.router.add_get("/_control/mails", self._mails)
        application.router.add_post("/_control/behaviour", self._behave)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _received(self, request: web.Request) -> web.Response:
        with_ids = request.query.get("ids") == "1"
        answer = {
            channel: {**records.summary(), **(_ids(records) if with_ids else {})}
            for channel, records in self._providers.records().items()
        }
        return web.json_response(answer)

    async def _last_mail(self, request: web.Request) -> web.Response:
        del request  # it has no parameters
        if not self._providers.smtp.mails:
            return web.json_response({"error": "no mail yet"}, status=404)
        return web.json_response(read_mail(self._providers.smtp.mails[-1]))

    async def _mails(self, request: web.Request) -> web.Response:
        del request  # it has no parameters
        return web.json_response([read_mail(content) for content in self._providers.smtp.mails])

    async def _behave(self, request: web.Request) -> web.Response:
        try:
            change = msgspec.json.decode(await request.read(), type=_Change)
            channels = [change.channel] if change.channel else [Channel.PUSH, Channel.EMAIL, Channel.SMS]
            for channel in channels:
                self._providers.behave(channel, change.behaviour)
        except (msgspec.DecodeError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"channels": channels})


def _ids(records: Received) -> dict[str, object]:
    return {"ids": dict(records.by_notification()), "repeated": dict(records.repeated())}


def read_mail(content: bytes) -> dict[str, object]:
    """A mail for people: headers, text and HTML, decoded."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    return {
        "headers": {name: str(value) for name, value in message.items()},
        "text": bodies["plain"].get_content() if bodies["plain"] else "",
        "html": bodies["html"].get_content() if bodies["html"] else "",
    }
