"""A simulator of Twilio's ``POST …/Messages.json``."""

import base64
import json
import re
import secrets
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.received import Received

MAX_BODY = 1600
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_FIELDS = frozenset({"To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod"})
_JSON = {"Content-Type": "application/json"}


def error_reply(status: int, code: int, *, retry_after: int | None = None) -> Reply:
    """An error as Twilio writes it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = json.dumps({"code": code, "message": "simulated", "more_info": more, "status": status})
    headers = _JSON if retry_after is None else {**_JSON, "Retry-After": str(retry_after)}
    return Reply(status, body.encode(), headers)


class TwilioSimulator(HttpSimulator):
    """Twilio for one made-up account."""

    from_number = "+15005550006"

    def __init__(self, script: Script | None = None, *, also: Received | None = None) -> None:
        super().__init__(script, also=also)
        self.account_sid = "AC" + secrets.token_hex(16)
        self.auth_token = secrets.token_hex(16)
        self.account_status = "active"
        self._authorization = "Basic " + base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:  # noqa: ARG002 - as the port has it
        """The account itself."""
        if (request.method, request.path) != ("GET", f"/2010-04-01/Accounts/{self.account_sid}.json"):
            return None
        if request.headers.get("Authorization") != self._authorization:
            return error_reply(401, 20003)
        account = {"sid": self.account_sid, "friendly_name": "simulated", "status": self.account_status, "type": "Full"}
        return Reply(200, json.dumps(account).encode(), _JSON)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        if request.method != "POST" or request.path != f"/2010-04-01/Accounts/{self.account_sid}/Messages.json":
            raise Invalid("path", error_reply(404, 20404))
        if request.headers.get("Authorization") != self._authorization:
            raise Invalid("authorization", error_reply(401, 20003))
        form = _read_form(request, body)
        callback = parse_qs(urlsplit(form.get("StatusCallback", "")).query)
        notification_id = callback.get("notification_id", [""])[0]
        if not notification_id:
            raise Invalid("StatusCallback carries no notification_id", error_reply(400, 21609))
        sid = "SM" + secrets.token_hex(16)
        return Accepted(
            notification_id, form["To"], self._created(form, sid), sid, callback=form.get("StatusCallback", "")
        )

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.INVALID_RECIPIENT:
                return error_reply(400, 21211)
            case Fault.REJECTED:
                return error_reply(400, 21617)
            case Fault.CONFIGURATION:
                return error_reply(401, 20003)
            case Fault.THROTTLED:
                return error_reply(429, 20429, retry_after=self.script.behaviour.retry_after)
            case _:
                return error_reply(503, 20503)

    def _created(self, form: dict[str, str], sid: str) -> Reply:
        message = {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": form["Body"],
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_segments": "1",
            "sid": sid,
            "status": "queued",
            "to": form["To"],
        }
        return Reply(201, json.dumps(message).encode(), _JSON)


def _read_form(request: web.BaseRequest, body: bytes) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise Invalid("content type", error_reply(415, 20415))
    pairs = parse_qs(body.decode(), keep_blank_values=True)
    form = {name: values[0] for name, values in pairs.items()}
    for wrong, what, code in (
        (not _FIELDS.issuperset(form) or any(len(v) > 1 for v in pairs.values()), "fields", 20001),
        (not form.get("To"), "no To", 21604),
        (not _E164.fullmatch(form.get("To", "")), "To is not E.164", 21211),
        (not (form.get("From") or form.get("MessagingServiceSid")), "no sender", 21603),
        (not form.get("Body"), "no Body", 21602),
        (len(form.get("Body", "")) > MAX_BODY, "Body too long", 21617),
        (not re.fullmatch(r"[1-9]\d{0,4}", form.get("ValidityPeriod", "1")), "ValidityPeriod", 20001),
        (urlsplit(form.get("StatusCallback", "")).scheme not in {"http", "https"}, "StatusCallback", 21609),
    ):
        if wrong:
            raise Invalid(what, error_reply(400, code))
    return form
