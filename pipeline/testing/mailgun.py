"""A simulator of Mailgun's ``POST /v3/{domain}/messages``."""

import base64
import json
import re
import secrets
from email.utils import parseaddr
from urllib.parse import parse_qs, unquote

from aiohttp import web

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.mail_checks import address
from pipeline.testing.received import Received

MAX_OPTIONS = 16 * 1024
"""Bytes of all ``o:``, ``h:`` and ``v:`` fields together."""

_JSON = {"Content-Type": "application/json"}
_PATH = re.compile(r"/v3/([^/]+)/messages")
_FIELDS = frozenset({"from", "to", "subject", "text", "html", "amp-html"})
_OPTIONS = frozenset(
    {
        "o:tag",
        "o:tracking",
        "o:tracking-clicks",
        "o:tracking-opens",
        "o:sending-ip",
        "o:sending-ip-pool",
        "o:testmode",
        "o:require-tls",
        "o:deliverytime",
    }
)
_REPEATED = frozenset({"o:tag"})
_TRACKING = frozenset({"yes", "no", "true", "false", "htmlonly"})


def error_reply(status: int, message: str = "simulated") -> Reply:
    """An error as Mailgun writes it."""
    return Reply(status, json.dumps({"message": message}).encode(), _JSON)


class MailgunSimulator(HttpSimulator):
    """Mailgun for one made-up account. `domains` are those it may send for; None: any."""

    bounces_later = True

    def __init__(
        self, script: Script | None = None, *, also: Received | None = None, domains: frozenset[str] | None = None
    ) -> None:
        super().__init__(script, also=also)
        self.api_key = secrets.token_hex(16)
        self._domains = domains
        self._authorization = "Basic " + base64.b64encode(f"api:{self.api_key}".encode()).decode()

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        match = _PATH.fullmatch(request.path)
        if request.method != "POST" or not match:
            raise Invalid("path", Reply(404, b"404 page not found"))
        if not secrets.compare_digest(request.headers.get("Authorization", ""), self._authorization):
            raise Invalid("authorization", Reply(401, b"Forbidden", {"Content-Type": "text/plain"}))
        domain = unquote(match[1])
        if self._domains is not None and domain not in self._domains:
            raise Invalid("domain", error_reply(404, f"Domain not found: {domain}"))
        try:
            notification_id, recipient, reference = _read(request, body)
        except ValueError as error:
            raise Invalid(f"form: {error}", error_reply(400, str(error))) from error
        message_id = f"{secrets.token_hex(10)}@{domain}"
        answer = {"id": f"<{message_id}>", "message": "Queued. Thank you."}
        return Accepted(
            notification_id, recipient, Reply(200, json.dumps(answer).encode(), _JSON), message_id, reference
        )

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.REJECTED:
                return error_reply(400)
            case Fault.CONFIGURATION:
                return error_reply(403, "Domain is not allowed to send")
            case Fault.THROTTLED:
                wait = self.script.behaviour.retry_after
                return error_reply(429, f"account-requests-per-sec limit exceeded, try again after {wait} seconds")
            case _:
                return error_reply(500, "Internal Server Error")


def _read(request: web.BaseRequest, body: bytes) -> tuple[str, str, str]:
    """Check a mail to one recipient; its notification id, the recipient, and what shall come back with receipts.

    Raises:
        ValueError: Mailgun would refuse it; says what is wrong.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise ValueError("a form is expected")
    fields = parse_qs(body.decode(), keep_blank_values=True)
    for required in ("from", "to", "subject"):
        if not fields.get(required, [""])[0]:
            raise ValueError(f"{required} parameter is missing")
    if not any(fields.get(name, [""])[0] for name in ("text", "html", "amp-html")):
        raise ValueError("Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified.")
    address(parseaddr(fields["from"][0])[1], "from parameter")
    recipient = address(fields["to"][0], "to parameter")
    _check_options(fields)
    notification_id = fields.get("v:notification_id", [""])[0]
    if not notification_id or fields.get("h:X-Notification-ID") != [notification_id]:
        raise ValueError("v:notification_id is missing, or is not the header's X-Notification-ID")
    return notification_id, recipient, fields.get("v:notification_ref", [""])[0]


def _check_options(fields: dict[str, list[str]]) -> None:
    size = 0
    for name, values in fields.items():
        if len(values) > 1 and name not in _REPEATED:
            raise ValueError(f"{name} stands there more than once")
        if name[:2] not in {"h:", "v:"} and name not in _FIELDS | _OPTIONS:
            raise ValueError(f"{name} is no parameter")
        if name[:2] in {"h:", "v:", "o:"}:
            size += len(name) + sum(map(len, values))
        if name.startswith("h:") and not (values[0].isascii() and values[0].isprintable() and name[2:]):
            raise ValueError(f"{name} is not one line of ASCII")
    if size > MAX_OPTIONS:
        raise ValueError("Send options (parameters starting with o:, h:, or v:) are limited to 16KB total")
    if any(len(tag) > 128 or not tag.isascii() for tag in fields.get("o:tag", [])):
        raise ValueError("o:tag takes 128 ASCII characters")
    if not _TRACKING.issuperset(fields.get("o:tracking", [])):
        raise ValueError("o:tracking takes yes or no")
