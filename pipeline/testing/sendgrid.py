"""A simulator of SendGrid's ``POST /v3/mail/send`` and ``GET /v3/scopes``."""

import json
import secrets
import time

from aiohttp import web

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.mail_checks import address, keys, text
from pipeline.testing.received import Received

MAX_SIZE = 30 * 1024 * 1024

_JSON = {"Content-Type": "application/json"}
_FIELDS = frozenset(
    {
        "personalizations",
        "from",
        "reply_to",
        "subject",
        "content",
        "headers",
        "categories",
        "ip_pool_name",
        "mail_settings",
        "tracking_settings",
    }
)
_PERSONAL = frozenset({"to", "cc", "bcc", "subject", "headers", "custom_args", "send_at"})
_RESERVED = frozenset(
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    }
)
_TRACKING = frozenset({"click_tracking", "open_tracking", "subscription_tracking", "ganalytics"})


def error_reply(status: int, message: str = "simulated", field: str | None = None, **headers: str) -> Reply:
    """An error as SendGrid writes it."""
    body = {"errors": [{"message": message, "field": field, "help": None}]}
    return Reply(status, json.dumps(body).encode(), {**_JSON, **headers})


class SendGridSimulator(HttpSimulator):
    """SendGrid for one made-up account. `scopes` is what its key may do, `ip_pools` None: any name is taken."""

    bounces_later = True

    def __init__(
        self, script: Script | None = None, *, also: Received | None = None, ip_pools: frozenset[str] | None = None
    ) -> None:
        super().__init__(script, also=also)
        self.api_key = f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"
        self.scopes = ["mail.send"]
        self._ip_pools = ip_pools

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:  # noqa: ARG002 - as the base has it
        """``GET /v3/scopes``."""
        if (request.method, request.path) != ("GET", "/v3/scopes"):
            return None
        if not self._authenticated(request):
            return error_reply(401, "The provided authorization grant is invalid, expired, or revoked")
        return Reply(200, json.dumps({"scopes": self.scopes}).encode(), _JSON)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        if (request.method, request.path) != ("POST", "/v3/mail/send"):
            raise Invalid("path", error_reply(404, "Not found"))
        if not self._authenticated(request):
            raise Invalid("authorization", error_reply(401, "The provided authorization grant is invalid"))
        if "mail.send" not in self.scopes:
            raise Invalid("scope", error_reply(403, "access forbidden"))
        if request.content_type != "application/json":
            raise Invalid("content type", error_reply(415, "Content-Type should be application/json"))
        if len(body) > MAX_SIZE:
            raise Invalid("size", error_reply(413, "Request Entity Too Large"))
        try:
            notification_id, recipient, reference = _read(body, self._ip_pools)
        except ValueError as error:
            raise Invalid(f"body: {error}", error_reply(400, str(error))) from error
        message_id = secrets.token_urlsafe(16)
        return Accepted(
            notification_id, recipient, Reply(202, b"", {"X-Message-Id": message_id}), message_id, reference
        )

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.REJECTED:
                return error_reply(400)
            case Fault.CONFIGURATION:
                return error_reply(403, "The from address does not match a verified Sender Identity", "from")
            case Fault.THROTTLED:
                reset = str(int(time.time()) + self.script.behaviour.retry_after)
                return error_reply(429, "too many requests", **{"X-RateLimit-Reset": reset})
            case _:
                return error_reply(503)

    def _authenticated(self, request: web.BaseRequest) -> bool:
        return secrets.compare_digest(request.headers.get("Authorization", ""), f"Bearer {self.api_key}")


def _read(body: bytes, ip_pools: frozenset[str] | None) -> tuple[str, str, str]:
    """Check a mail to one recipient; its notification id, the recipient, and what shall come back with receipts.

    Raises:
        ValueError: SendGrid would refuse it; says what is wrong.
    """
    mail = keys(json.loads(body), "mail", _FIELDS)
    personal = mail.get("personalizations")
    if not isinstance(personal, list) or len(personal) != 1:
        raise ValueError("personalizations: one is expected here")
    envelope = keys(personal[0], "personalizations.0", _PERSONAL)
    recipient = _person(envelope.get("to"), "personalizations.0.to")
    _person([mail.get("from")], "from")
    text(mail.get("subject"), "subject")
    _check_content(mail.get("content"))
    _check_headers(mail.get("headers", {}))
    _check_extras(mail, ip_pools)
    arguments = keys(envelope.get("custom_args"), "custom_args", {"notification_id", "notification_ref"})
    notification_id = text(arguments.get("notification_id"), "custom_args.notification_id")
    carries = "notification_ref" in arguments
    reference = text(arguments["notification_ref"], "custom_args.notification_ref") if carries else ""
    return notification_id, recipient, reference


def _person(people: object, where: str) -> str:
    if not isinstance(people, list) or len(people) != 1:
        raise ValueError(f"{where}: one address is expected here")
    person = keys(people[0], where, {"email", "name"})
    if "name" in person:
        text(person["name"], f"{where}.name")
    return address(person.get("email"), f"{where}.email")


def _check_content(content: object) -> None:
    if not isinstance(content, list) or not content:
        raise ValueError("content: at least one part is needed")
    kinds = []
    for number, part in enumerate(content):
        fields = keys(part, f"content.{number}", {"type", "value"})
        kinds.append(text(fields.get("type"), f"content.{number}.type"))
        text(fields.get("value"), f"content.{number}.value")
    if kinds not in (["text/plain", "text/html"], ["text/html"], ["text/plain"]):
        raise ValueError("content: text/plain comes first, then text/html")


def _check_headers(headers: object) -> None:
    for name, value in keys(headers, "headers").items():
        if name.lower() in _RESERVED:
            raise ValueError(f"headers.{name} is reserved")
        line = text(value, f"headers.{name}")
        if not (line.isascii() and line.isprintable() and name.isascii() and name.isprintable()):
            raise ValueError(f"headers.{name} is not one line of ASCII")


def _check_extras(mail: dict[str, object], ip_pools: frozenset[str] | None) -> None:
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > 10 or len(set(categories)) < len(categories):
        raise ValueError("categories: up to ten different ones")
    for category in categories:
        if len(text(category, "categories")) > 255:
            raise ValueError("categories: up to 255 characters each")
    keys(mail.get("tracking_settings", {}), "tracking_settings", _TRACKING)
    if "ip_pool_name" in mail:
        pool = text(mail["ip_pool_name"], "ip_pool_name")
        if not 2 <= len(pool) <= 64 or (ip_pools is not None and pool not in ip_pools):
            raise ValueError("ip_pool_name: no such pool")
