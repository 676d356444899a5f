"""A simulator of Amazon SNS: ``Publish`` to a number, and ``GetSMSAttributes``."""

import re
import uuid
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from aiohttp import web

from pipeline.testing.aws import Unsigned, check_signature
from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.received import Received
from pipeline.testing.ses import REGION

__all__ = ["REGION", "SnsSimulator", "error_reply"]

MAX_TEXT = 1600
VERSION = "2010-03-31"

_NAMESPACE = f"http://sns.amazonaws.com/doc/{VERSION}/"
_XML = {"Content-Type": "text/xml"}
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{1,11}")
_PRICE = re.compile(r"\d+(\.\d{1,5})?")
_ENTRY = re.compile(r"MessageAttributes\.entry\.(\d+)\.(Name|Value\.DataType|Value\.StringValue)")
_FIELDS = frozenset({"Action", "Version", "PhoneNumber", "Message"})
_CHECKS = {
    "AWS.SNS.SMS.SMSType": ("String", re.compile("Transactional|Promotional")),
    "AWS.SNS.SMS.SenderID": ("String", _SENDER_ID),
    "AWS.SNS.SMS.MaxPrice": ("Number", _PRICE),
    "AWS.MM.SMS.OriginationNumber": ("String", re.compile(r"\+?\d{3,15}")),
    "AWS.MM.SMS.EntityId": ("String", re.compile(".+")),
    "AWS.MM.SMS.TemplateId": ("String", re.compile(".+")),
}


def error_reply(status: int, code: str, message: str = "simulated") -> Reply:
    """An error as SNS writes it."""
    who = "Sender" if status < 500 else "Receiver"
    error = f"<Error><Type>{who}</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<ErrorResponse xmlns="{_NAMESPACE}">{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>'
    return Reply(status, body.encode(), _XML)


class SnsSimulator(HttpSimulator):
    """SNS for one made-up account that may send to any number."""

    def __init__(self, script: Script | None = None, *, also: Received | None = None) -> None:
        super().__init__(script, also=also)
        self.access_key_id = "AKIA" + uuid.uuid4().hex[:16].upper()
        self.secret_access_key = uuid.uuid4().hex

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:
        """``GetSMSAttributes``."""
        if parse_qs(body.decode(errors="replace")).get("Action") != ["GetSMSAttributes"]:
            return None
        try:
            self._authenticate(request, body)
        except Invalid as invalid:
            return invalid.reply
        return _answer("GetSMSAttributes", "<attributes/>")

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        if (request.method, request.path) != ("POST", "/"):
            raise Invalid("path", error_reply(404, "NotFound"))
        self._authenticate(request, body)
        form, attributes = _read(request, body)
        notification_id = attributes.get("notification_id", ("", ""))[1]
        if not notification_id:
            raise Invalid("no notification_id", error_reply(400, "InvalidParameter"))
        message_id = str(uuid.uuid4())
        reply = _answer("Publish", f"<MessageId>{message_id}</MessageId>")
        return Accepted(notification_id, form["PhoneNumber"], reply, message_id)

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.INVALID_RECIPIENT:
                return error_reply(400, "OptedOut")
            case Fault.REJECTED:
                return error_reply(400, "InvalidParameter", "Invalid parameter: Message Reason: simulated")
            case Fault.CONFIGURATION:
                return error_reply(403, "AuthorizationError")
            case Fault.THROTTLED:
                return error_reply(400, "Throttling", "Rate exceeded")
            case _:
                return error_reply(500, "InternalError")

    def _authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        try:
            check_signature(request, body, "sns", REGION, self.access_key_id, self.secret_access_key)
        except Unsigned as error:
            raise Invalid(f"signature: {error}", error_reply(403, error.exception)) from error


def _answer(action: str, result: str) -> Reply:
    metadata = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    inner = f"<{action}Result>{result}</{action}Result>{metadata}"
    return Reply(200, f'<{action}Response xmlns="{_NAMESPACE}">{inner}</{action}Response>'.encode(), _XML)


def _read(request: web.BaseRequest, body: bytes) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """The fields of a ``Publish`` to a number, and its attributes: type and value by name."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Invalid("content type", error_reply(400, "InvalidParameter"))
    form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    entries = {name: form.pop(name) for name in list(form) if _ENTRY.fullmatch(name)}
    number = form.get("PhoneNumber", "")
    for wrong, what, code in (
        ((form.get("Action"), form.get("Version")) != ("Publish", VERSION), "action", "InvalidAction"),
        (set(form) != _FIELDS, "fields", "InvalidParameter"),
        (not form.get("Message"), "Message: empty", "InvalidParameter"),
        (len(form.get("Message", "")) > MAX_TEXT, "Message: too long", "InvalidParameter"),
    ):
        if wrong:
            raise Invalid(what, error_reply(400, code, f"Invalid parameter: {what}"))
    if not _E164.fullmatch(number):
        text = f"Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to"
        raise Invalid("PhoneNumber", error_reply(400, "InvalidParameter", text))
    return form, _attributes(entries)


def _attributes(entries: dict[str, str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for number in range(1, len(entries) // 3 + 1):
        prefix = f"MessageAttributes.entry.{number}."
        name, kind, value = (
            entries.get(prefix + field, "") for field in ("Name", "Value.DataType", "Value.StringValue")
        )
        expected = _CHECKS.get(name, ("String", re.compile(".+")))
        reserved = name.startswith(("AWS.", "Amazon.")) and name not in _CHECKS
        if not name or reserved or name in found or kind != expected[0] or not expected[1].fullmatch(value):
            text = f"Invalid parameter: MessageAttributes Reason: {name}"
            raise Invalid(f"attribute {name}", error_reply(400, "InvalidParameter", text))
        found[name] = (kind, value)
    if len(found) * 3 != len(entries):
        raise Invalid("attributes", error_reply(400, "InvalidParameter", "Invalid parameter: MessageAttributes"))
    return found
