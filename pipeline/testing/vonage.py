"""A simulator of Vonage: ``POST /sms/json`` and ``GET /account/get-balance`` of its SMS API, and the Messages API."""

import base64
import hmac
import json
import re
import secrets
import uuid
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.channels.segments import is_gsm, segments
from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.received import Received

MAX_TEXT = 3200
MAX_CALLBACK = 100
MAX_JWT_AGE = 24 * 3600

_JSON = {"Content-Type": "application/json"}
_PROBLEM = {"Content-Type": "application/problem+json"}
_NUMBER = re.compile(r"[1-9]\d{6,14}")
_SENDER = re.compile(r"\d{3,15}|(?=.*[A-Za-z])[A-Za-z0-9 &_+.-]{1,11}")
_FIELDS = frozenset(
    {"api_key", "api_secret", "from", "to", "text", "type", "ttl", "client-ref", "status-report-req", "callback"}
)
_KEYS = frozenset(
    {"channel", "message_type", "to", "from", "text", "ttl", "client_ref", "webhook_url", "webhook_version", "sms"}
)
_TITLES = {"1": "Throttled", "4": "Invalid Credentials", "5": "Internal Error", "7": "Number Barred"}

_api: ContextVar[str] = ContextVar("api", default="sms")
"""Which API the request at hand is for."""


def sms_reply(*statuses: str) -> Reply:
    """An answer of the SMS API: 200 whatever it says, a ``status`` for each part."""
    parts = [_part(status) for status in statuses]
    return Reply(200, json.dumps({"message-count": str(len(parts)), "messages": parts}).encode(), _JSON)


def messages_error(status: int, code: str, *, retry_after: int | None = None) -> Reply:
    """An error of the Messages API (RFC 9457): `code` stands behind the ``#`` of its type."""
    page = "/messages" if code.isdigit() else ""
    body = {
        "type": f"https://developer.vonage.com/api-errors{page}#{code}",
        "title": "simulated",
        "detail": "simulated",
        "instance": secrets.token_hex(16),
    }
    headers = _PROBLEM if retry_after is None else {**_PROBLEM, "Retry-After": str(retry_after)}
    return Reply(status, json.dumps(body).encode(), headers)


class VonageSimulator(HttpSimulator):
    """Vonage for one made-up account that has one application. Each API is answered in its own words."""

    from_number = "+15005550007"

    def __init__(self, script: Script | None = None, *, also: Received | None = None) -> None:
        super().__init__(script, also=also)
        self.api_key = secrets.token_hex(4)
        self.api_secret = secrets.token_hex(8)
        self.application_id = str(uuid.uuid4())
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def write_private_key(self, path: Path) -> None:
        """The application's private key, as the dashboard hands it out."""
        encryption = serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        path.write_bytes(self._key.private_bytes(*form))

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:  # noqa: ARG002 - as the port has it
        """``GET /account/get-balance``."""
        if (request.method, request.path) != ("GET", "/account/get-balance"):
            return None
        expected = base64.b64encode(f"{self.api_key}:{self.api_secret}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Basic {expected}"):
            return messages_error(401, "unauthorized")
        return Reply(200, b'{"value": 10.28, "autoReload": false}', _JSON)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        match request.method, request.path:
            case "POST", "/sms/json":
                _api.set("sms")
                return self._accept_sms(request, body)
            case "POST", "/v1/messages":
                _api.set("messages")
                return self._accept_message(request, body)
        raise Invalid("path", messages_error(404, "not-found"))

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`; in the words of the API that was asked."""
        sms = _api.get() == "sms"
        match fault:
            case Fault.INVALID_RECIPIENT:
                return sms_reply("7") if sms else messages_error(422, "1050")
            case Fault.REJECTED:
                return sms_reply("6") if sms else messages_error(422, "1040")
            case Fault.CONFIGURATION:
                return sms_reply("4") if sms else messages_error(401, "unauthorized")
            case Fault.THROTTLED:
                wait = self.script.behaviour.retry_after
                return sms_reply("1") if sms else messages_error(429, "1000", retry_after=wait)
            case _:
                return sms_reply("5") if sms else messages_error(500, "1030")

    def _accept_sms(self, request: web.BaseRequest, body: bytes) -> Accepted:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Invalid("content type", Reply(415, b""))
        pairs = parse_qs(body.decode(), keep_blank_values=True)
        form = {name: values[0] for name, values in pairs.items()}
        if wrong := _wrong_form(form, repeated=any(len(values) > 1 for values in pairs.values())):
            raise Invalid(wrong[0], sms_reply(wrong[1]))
        keys = (form["api_key"], form["api_secret"])
        if keys != (self.api_key, self.api_secret):
            raise Invalid("credentials", sms_reply("4"))
        parts = [_part("0", form["to"], form["client-ref"]) for _ in range(segments(form["text"]))]
        reply = Reply(200, json.dumps({"message-count": str(len(parts)), "messages": parts}).encode(), _JSON)
        callback = form.get("callback", "")
        return Accepted(form["client-ref"], form["to"], reply, parts[0]["message-id"], callback=callback)

    def _accept_message(self, request: web.BaseRequest, body: bytes) -> Accepted:
        self._authorise(request)
        try:
            message = json.loads(body)
        except ValueError as error:
            raise Invalid("no JSON", messages_error(422, "invalid-params")) from error
        if wrong := _wrong_message(message):
            raise Invalid(wrong, messages_error(422, "1020"))
        message_id = str(uuid.uuid4())
        reply = Reply(202, json.dumps({"message_uuid": message_id}).encode(), _JSON)
        callback = message.get("webhook_url", "")
        return Accepted(message["client_ref"], message["to"], reply, message_id, callback=callback)

    def _authorise(self, request: web.BaseRequest) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                options={"require": ["iat", "jti", "application_id"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Invalid("JWT expired", messages_error(401, "jwt-expired")) from error
        except jwt.PyJWTError as error:
            raise Invalid(f"JWT: {type(error).__name__}", messages_error(401, "unauthorized")) from error
        too_long = claims.get("exp", claims["iat"]) - claims["iat"] > MAX_JWT_AGE
        if scheme != "Bearer" or claims["application_id"] != self.application_id or too_long:
            raise Invalid("JWT of another application", messages_error(401, "unauthorized"))


def _part(status: str, to: str = "", client_ref: str = "") -> dict[str, str]:
    if status != "0":
        return {"status": status, "error-text": _TITLES.get(status, "simulated")}
    return {
        "to": to,
        "message-id": str(uuid.uuid4()),
        "status": "0",
        "remaining-balance": "10.28000000",
        "message-price": "0.04120000",
        "network": "23420",
        "client-ref": client_ref,
    }


def _wrong_form(form: dict[str, str], *, repeated: bool) -> tuple[str, str] | None:
    """What is wrong with a form of the SMS API, and the status that says so."""
    for wrong, what, status in (
        (repeated or not _FIELDS.issuperset(form), "fields", "3"),
        (not all(form.get(name) for name in ("api_key", "api_secret", "from", "to", "text")), "missing", "2"),
        (not _NUMBER.fullmatch(form.get("to", "")), "to is no number without a plus", "3"),
        (not _SENDER.fullmatch(form.get("from", "")), "from", "15"),
        (len(form.get("text", "")) > MAX_TEXT, "text too long", "12"),
        (form.get("type", "text") != ("text" if is_gsm(form.get("text", "")) else "unicode"), "type", "3"),
        (not _is_within(form.get("ttl", "20000"), 20_000, 604_800_000), "ttl", "3"),
        (not 1 <= len(form.get("client-ref", "")) <= 40, "client-ref names no notification", "3"),
        ("callback" in form and not _is_callback(form["callback"], form.get("client-ref", "")), "callback", "23"),
    ):
        if wrong:
            return what, status
    return None


def _wrong_message(message: object) -> str:
    """What is wrong with a message of the Messages API; "": nothing."""
    if not isinstance(message, dict) or not _KEYS.issuperset(message):
        return "fields"
    if not all(isinstance(message.get(name), str) for name in ("to", "from", "text", "client_ref")):
        return "missing"
    text, sms = message["text"], message.get("sms", {})
    for wrong, what in (
        ((message.get("channel"), message.get("message_type")) != ("sms", "text"), "channel"),
        (not _NUMBER.fullmatch(message["to"]), "to is no number without a plus"),
        (not _SENDER.fullmatch(message["from"]), "from"),
        (not 1 <= len(text) <= MAX_TEXT, "text"),
        (not isinstance(sms, dict) or sms.get("encoding_type") not in {"text", "unicode", "auto", None}, "sms"),
        (isinstance(sms, dict) and sms.get("encoding_type") == "text" and not is_gsm(text), "encoding_type"),
        (not _is_within(str(message.get("ttl", 20)), 20, 604_800), "ttl"),
        (not 1 <= len(message["client_ref"]) <= 100, "client_ref names no notification"),
        ("webhook_url" in message and not _is_web_address(message["webhook_url"]), "webhook_url"),
    ):
        if wrong:
            return what
    return ""


def _is_within(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and least <= int(text[:12]) <= most


def _is_callback(url: str, notification_id: str) -> bool:
    named = parse_qs(urlsplit(url).query).get("notification_id", [notification_id])
    return len(url) <= MAX_CALLBACK and _is_web_address(url) and named == [notification_id]


def _is_web_address(url: object) -> bool:
    return isinstance(url, str) and urlsplit(url).scheme in {"http", "https"}
