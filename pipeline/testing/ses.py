"""A simulator of Amazon SES, API version 2: ``SendEmail`` with a raw message, and ``GetAccount``."""

import base64
import binascii
import json
import re
import secrets

from aiohttp import web

from pipeline.testing.aws import Unsigned, check_signature
from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.mail_checks import address, keys, read_headers
from pipeline.testing.received import Received
from pipeline.testing.webhooks.sns import CERTIFICATE_PATH

REGION = "eu-west-1"

_JSON = {"Content-Type": "application/json"}
_TAG = re.compile(r"(ses:)?[A-Za-z0-9_-]{1,256}")
_FIELDS = frozenset({"FromEmailAddress", "Destination", "Content", "EmailTags", "ConfigurationSetName"})


def error_reply(status: int, exception: str, message: str = "simulated") -> Reply:
    """An error as SES writes it."""
    headers = {**_JSON, "x-amzn-ErrorType": f"{exception}:http://internal.amazon.com/coral/"}
    return Reply(status, json.dumps({"message": message}).encode(), headers)


class SesSimulator(HttpSimulator):
    """SES for one made-up account. `configuration_sets` None: any name is taken."""

    bounces_later = True

    def __init__(
        self,
        script: Script | None = None,
        *,
        also: Received | None = None,
        verified_domains: frozenset[str] | None = None,
        configuration_sets: frozenset[str] | None = None,
    ) -> None:
        """`verified_domains` None: mail from any domain is taken."""
        super().__init__(script, also=also)
        self.access_key_id = "AKIA" + secrets.token_hex(8).upper()
        self.secret_access_key = secrets.token_urlsafe(30)
        self.sns_certificate = b""
        """What events that go through SNS are signed with, as PEM; empty: there is none."""
        self.confirmed: list[str] = []
        """The topics to which a subscription was confirmed."""
        self._verified_domains = verified_domains
        self._configuration_sets = configuration_sets

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:
        """``GetAccount``; and SNS, where its certificate is and subscriptions are confirmed."""
        if request.method == "GET" and request.path == CERTIFICATE_PATH and self.sns_certificate:
            return Reply(200, self.sns_certificate, {"Content-Type": "application/x-pem-file"})
        if request.method == "GET" and request.query.get("Action") == "ConfirmSubscription":
            self.confirmed.append(request.query.get("TopicArn", ""))
            return Reply(200, b"<ConfirmSubscriptionResponse/>", {"Content-Type": "text/xml"})
        if (request.method, request.path) != ("GET", "/v2/email/account"):
            return None
        try:
            self._authenticate(request, body)
        except Invalid as invalid:
            return invalid.reply
        quota = {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": float(self.received.accepted)}
        account = {"EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": True, "SendingEnabled": True}
        return Reply(200, json.dumps({**account, "SendQuota": quota}).encode(), _JSON)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        if (request.method, request.path) != ("POST", "/v2/email/outbound-emails"):
            raise Invalid("path", error_reply(404, "UnknownOperationException"))
        self._authenticate(request, body)
        try:
            message = _read(body)
        except ValueError as error:
            raise Invalid(f"body: {error}", error_reply(400, "BadRequestException", str(error))) from error
        domain = message.sender.rpartition("@")[2].lower()
        if self._verified_domains is not None and domain not in self._verified_domains:
            text = f"Email address is not verified. The following identities failed the check: {message.sender}"
            raise Invalid("sender not verified", error_reply(400, "MessageRejected", text))
        known = self._configuration_sets
        if known is not None and message.configuration_set and message.configuration_set not in known:
            raise Invalid("configuration set", error_reply(404, "NotFoundException"))
        message_id = f"{secrets.token_hex(8)}-{secrets.token_hex(4)}-000000"
        reply = Reply(200, json.dumps({"MessageId": message_id}).encode(), _JSON)
        return Accepted(message.notification_id, message.recipient, reply, message_id, message.reference)

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.REJECTED:
                return error_reply(400, "MessageRejected")
            case Fault.CONFIGURATION:
                return error_reply(403, "AccessDeniedException")
            case Fault.THROTTLED:
                return error_reply(429, "TooManyRequestsException")
            case _:
                return error_reply(503, "ServiceUnavailable")

    def _authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        try:
            check_signature(request, body, "ses", REGION, self.access_key_id, self.secret_access_key)
        except Unsigned as error:
            raise Invalid(f"signature: {error}", error_reply(403, error.exception)) from error


class _Message:
    def __init__(
        self, sender: str, recipient: str, notification_id: str, configuration_set: str, tags: dict[str, str]
    ) -> None:
        self.sender = sender
        self.recipient = recipient
        self.notification_id = notification_id
        self.configuration_set = configuration_set
        pieces = (tags.get(f"notification_ref-{number}", "") for number in range(1, len(tags) + 1))
        self.reference = "".join(pieces)


def _read(body: bytes) -> _Message:
    """Check a ``SendEmail`` request that carries a raw message to one recipient.

    Raises:
        ValueError: SES would refuse it; says what is wrong.
    """
    request = keys(json.loads(body), "request", _FIELDS)
    recipients = keys(request.get("Destination"), "Destination", {"ToAddresses"}).get("ToAddresses")
    if not isinstance(recipients, list) or len(recipients) != 1:
        raise ValueError("Destination.ToAddresses: one address is expected here")
    raw = keys(keys(request.get("Content"), "Content", {"Raw"}).get("Raw"), "Content.Raw", {"Data"}).get("Data")
    headers = read_headers(_decode(raw))
    tags = _tags(request.get("EmailTags", []))
    if tags.get("notification_id") != headers["x-notification-id"]:
        raise ValueError("EmailTags: notification_id is not the message's X-Notification-ID")
    configuration_set = request.get("ConfigurationSetName", "")
    if not isinstance(configuration_set, str):
        raise ValueError("ConfigurationSetName is no text")
    sender = address(request.get("FromEmailAddress"), "FromEmailAddress")
    return _Message(
        sender, address(recipients[0], "ToAddresses"), headers["x-notification-id"], configuration_set, tags
    )


def _decode(data: object) -> bytes:
    if not isinstance(data, str):
        raise ValueError("Content.Raw.Data is no text")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("Content.Raw.Data is not base64") from error


def _tags(tags: object) -> dict[str, str]:
    if not isinstance(tags, list):
        raise ValueError("EmailTags is no list")
    found = {}
    for tag in tags:
        pair = keys(tag, "EmailTags", {"Name", "Value"})
        if not all(isinstance(text, str) and _TAG.fullmatch(text) for text in pair.values()) or len(pair) != 2:
            raise ValueError("EmailTags: ASCII letters, digits, _ and - only, up to 256")
        found[str(pair["Name"])] = str(pair["Value"])
    return found
