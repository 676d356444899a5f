"""``/v1/webhooks/{provider}``: what providers tell of messages later on."""

import logging
import time
from collections.abc import Mapping

from aiohttp import web

from pipeline.events.json_schema import JsonSchema
from pipeline.gateway.problems import Refused
from pipeline.gateway.routes import Call, Name, Route, Routes
from pipeline.gateway.webhooks.accounts import NEEDS
from pipeline.gateway.webhooks.base import Posted, Unreadable, Untrusted, Webhook
from pipeline.gateway.webhooks.replays import Replays, Standing
from pipeline.gateway.webhooks.taking import Taken, Taker
from pipeline.gateway.webhooks.twilio import FORM
from pipeline.observability.metrics import Metrics
from pipeline.providers import twilio

logger = logging.getLogger(__name__)

JSON, TEXT = "application/json", "text/plain"
TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""Twilio's word for: nothing to answer."""

_FORM: JsonSchema = {"type": "object", "additionalProperties": {"type": "string"}}
_ANY: JsonSchema = {"description": "As the provider documents it, signed."}
_REQUEST: dict[str, JsonSchema] = {JSON: _ANY, FORM: _FORM, TEXT: {"type": "string", "description": "SNS."}}


class WebhookRoutes:
    """Handlers over the webhooks of all providers. `public_url` is how providers reach this gateway."""

    def __init__(
        self,
        webhooks: Mapping[str, Webhook],
        taker: Taker,
        replays: Replays,
        metrics: Metrics,
        *,
        public_url: str,
        max_body_bytes: int,
    ) -> None:
        self._webhooks = webhooks
        self._taker = taker
        self._replays = replays
        self._metrics = metrics
        self._public_url = public_url.rstrip("/")
        self._limit = max_body_bytes

    def table(self) -> Routes:
        tag, path = "webhooks", "/v1/webhooks"
        return [
            Route(
                method="POST",
                path=f"{path}/{twilio.NAME}",
                handler=self.take_twilio,
                access=None,
                summary="Receipts and inbound SMS of Twilio",
                tag=tag,
                problems=(400, 403, 404),
                content_types=(FORM, JSON),
                request={kind: _REQUEST[kind] for kind in (FORM, JSON)},
                answers={200: "text/xml"},
                max_body_bytes=self._limit,
            ),
            Route(
                method="POST",
                path=f"{path}/{{provider}}",
                handler=self.take_receipts,
                access=None,
                summary="Receipts of a provider: sendgrid, mailgun, vonage, ses",
                tag=tag,
                problems=(403, 404, 406),
                content_types=tuple(_REQUEST),
                request=_REQUEST,
                max_body_bytes=self._limit,
            ),
        ]

    async def take_twilio(self, body: bytes, call: Call) -> web.Response:
        """Signed in `X-Twilio-Signature`, over the URL and the form (or, for JSON, `bodySHA256` in the URL)."""
        await self._take(twilio.NAME, body, call)
        return web.Response(text=TWIML, content_type="text/xml")

    async def take_receipts(self, provider: Name, body: bytes, call: Call) -> Taken:
        """Signed as the provider signs; what is repeated or of no notification of ours is taken and counted."""
        return await self._take(provider, body, call)

    async def _take(self, provider: str, body: bytes, call: Call) -> Taken:
        webhook = self._webhook(provider)
        posted = self._posted(body, call)
        content = posted.url.encode(errors="surrogateescape") + b"\0" + body
        try:
            token = await webhook.verify(posted, time.time())
            standing = await self._replays.meet(webhook.name, token, content)
            told = () if standing is Standing.REPEATED else await webhook.read(posted)
        except Untrusted as error:
            self._refused(webhook, error, call)
            raise Refused(webhook.refusal, f"{error}") from None
        except Unreadable as error:
            self._refused(webhook, error, call)
            raise Refused(400, f"{error}") from None
        if standing is Standing.REPEATED:
            self._metrics.webhooks.labels(webhook.name, "repeated").inc()
            return Taken(repeated=1)
        taken = await self._taker.take(webhook, told)
        await self._replays.finish(webhook.name, token, content)
        return taken

    def _webhook(self, provider: str) -> Webhook:
        if webhook := self._webhooks.get(provider):
            return webhook
        if needs := NEEDS.get(provider):
            raise Refused(404, f"Receipts of {provider} are not taken: {needs} is not set.")
        raise Refused(404, f"There is no such provider; there are {', '.join(NEEDS)}.")

    def _posted(self, body: bytes, call: Call) -> Posted:
        request = call.request
        url = self._public_url + request.raw_path
        return Posted(url, request.query, request.headers, request.content_type, body)

    def _refused(self, webhook: Webhook, error: Untrusted | Unreadable, call: Call) -> None:
        self._metrics.webhooks.labels(webhook.name, "refused").inc()
        logger.warning("refused a webhook of %s: %s", webhook.name, error, extra={"request_id": call.request_id})
