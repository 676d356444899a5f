"""Twilio: status callbacks, and SMS that people write to our numbers.

Signature: https://www.twilio.com/docs/usage/security#validating-requests
Fields: https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks,
https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.gateway.webhooks.base import (
    Ignored,
    InboundSms,
    Posted,
    Receipt,
    Suppress,
    Told,
    Unreadable,
    Untrusted,
    same,
)
from pipeline.providers.base import Outcome
from pipeline.providers.twilio import ERROR_CODES, NAME, OPTED_OUT
from pipeline.suppression.keywords import Keyword, keyword

SIGNATURE = "X-Twilio-Signature"
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 200

_PORTS = {"https": 443, "http": 80}
_FAILED = frozenset({"failed", "undelivered"})
_REASONS = {
    Outcome.INVALID_RECIPIENT: Reason.INVALID_RECIPIENT,
    Outcome.PERMANENT: Reason.REJECTED_BY_PROVIDER,
    Outcome.CONFIGURATION: Reason.PROVIDER_CONFIGURATION,
}


class TwilioWebhook:
    """`tokens`: the auth tokens of all accounts, any of which may have signed."""

    name = NAME
    channel = Channel.SMS
    refusal = 403

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens

    async def verify(self, posted: Posted, now: float) -> str:
        """See `Webhook.verify`. Twilio signs no time: a request is known again by its signature."""
        del now
        given = posted.headers.get(SIGNATURE, "")
        pairs = form(posted.body) if posted.content_type == FORM else []
        if posted.content_type != FORM and not _is_body_of(posted.body, posted.query):
            raise Untrusted("The body is not the one whose hash the URL has as bodySHA256.")
        if not any(same(given, sign(url, pairs, token)) for token in self._tokens for url in spellings(posted.url)):
            raise Untrusted(f"{SIGNATURE} is missing, or no auth token of ours has made it for this URL and body.")
        return given

    async def read(self, posted: Posted) -> Sequence[Told]:
        """See `Webhook.read`."""
        fields = dict(form(posted.body))
        status = fields.get("MessageStatus") or fields.get("SmsStatus", "")
        if status in ("receiving", "received") or (not status and "Body" in fields):
            return [_inbound(fields)]
        if status not in _FAILED and status not in ("delivered", "read"):
            return [Ignored(status)]
        return [_receipt(status, fields, posted.query)]


def form(body: bytes) -> list[tuple[str, str]]:
    """The pairs of a form.

    Raises:
        Untrusted: it is none.
    """
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Untrusted("The body is no form.") from None


def sign(url: str, pairs: Sequence[tuple[str, str]], token: str) -> str:
    """The signature: base64 of the HMAC-SHA1 over the URL and all different pairs in order."""
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(errors="surrogateescape"), "sha1")).decode()


def spellings(url: str) -> Sequence[str]:
    """The URL with its port and without: Twilio writes the usual one sometimes."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        return url, urlunsplit(parts._replace(netloc=host.rpartition(":")[0]))
    port = _PORTS.get(parts.scheme)
    return (url, urlunsplit(parts._replace(netloc=f"{host}:{port}"))) if port else (url,)


def _is_body_of(body: bytes, query: Mapping[str, str]) -> bool:
    return same(query.get("bodySHA256", "").lower(), hashlib.sha256(body).hexdigest())


def _inbound(fields: Mapping[str, str]) -> Told:
    """Twilio's own word for it wins: with Advanced Opt-Out it knows keywords that are set up there alone."""
    said = fields.get("OptOutType", "").lower()
    meant = Keyword(said) if said in set(Keyword) else keyword(fields.get("Body", ""))
    return InboundSms(_required(fields, "From"), meant) if meant else Ignored("inbound")


def _receipt(status: str, fields: Mapping[str, str], query: Mapping[str, str]) -> Receipt:
    code = fields.get("ErrorCode", "")
    outcome, reason = Status.DELIVERED, Reason.REPORTED
    suppress: Sequence[Suppress] = ()
    if status == "read":
        outcome = Status.READ
    elif status in _FAILED:
        outcome = Status.BOUNCED
        row = ERROR_CODES.get(int(code)) if code.isascii() and code.isdigit() else None
        reason = _REASONS.get(row.outcome, Reason.UNDELIVERABLE) if row else Reason.UNDELIVERABLE
        if reason is Reason.INVALID_RECIPIENT:
            suppress = [Suppress(_required(fields, "To"), "stop" if code == OPTED_OUT else "invalid_number")]
    return Receipt(
        notification_id=query.get("notification_id", ""),
        reference=query.get("notification_ref", ""),
        status=outcome,
        reason=reason,
        occurred_at=None,
        message_id=fields.get("MessageSid") or fields.get("SmsSid", ""),
        suppress=suppress,
    )


def _required(fields: Mapping[str, str], name: str) -> str:
    if not (value := fields.get(name, "")):
        raise Unreadable(f"The form has no {name}.")
    return value
