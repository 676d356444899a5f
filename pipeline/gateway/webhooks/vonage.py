"""Vonage: receipts and inbound SMS of both its APIs.

SMS API, signed in a parameter: https://developer.vonage.com/en/getting-started/concepts/signing-messages
Messages API, signed by a JWT: https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
Receipts: https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts,
https://developer.vonage.com/en/api/messages#message-status
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

import jwt
import msgspec

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
    read_time,
    require_fresh,
    same,
    seconds,
)
from pipeline.gateway.webhooks.twilio import FORM, form
from pipeline.providers.vonage_request import NAME
from pipeline.suppression.keywords import keyword

Method = Literal["md5hash", "md5", "sha1", "sha256", "sha512"]

INVALID_NUMBERS = frozenset({"3", "4", "9"})
"""``err-code`` of a receipt: absent subscriber for good, call barred by the user, illegal number."""

MESSAGES_INVALID = "1050"
MESSAGES_REJECTED = frozenset({"1010", "1020", "1021", "1022", "1040", "1070", "1090", "1130", "1150"})
"""Codes behind the ``#`` of an error's type: https://developer.vonage.com/en/api-errors/messages"""

_FAILED = frozenset({"expired", "failed", "rejected", "unknown", "undeliverable"})


class Secret(NamedTuple):
    """An account's signature secret, and how it signs what its SMS API sends."""

    secret: str
    method: Method


class _Error(msgspec.Struct, frozen=True):
    type: str = ""


class _Sms(msgspec.Struct, frozen=True):
    keyword: str = ""


class _Message(msgspec.Struct, frozen=True):
    """A status or an inbound message of the Messages API."""

    message_uuid: str = ""
    to: str = ""
    sender: str = msgspec.field(default="", name="from")
    timestamp: str = ""
    status: str = ""
    text: str = ""
    client_ref: str = ""
    error: _Error = _Error()


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_flat = msgspec.json.Decoder(dict[str, str | int | float | None]).decode


class VonageWebhook:
    """`secrets`: those of all accounts, any of which may have signed. `max_age` in seconds."""

    name = NAME
    channel = Channel.SMS
    refusal = 403

    def __init__(self, secrets: Sequence[Secret], max_age: float) -> None:
        self._secrets = secrets
        self._max_age = max_age

    async def verify(self, posted: Posted, now: float) -> str:
        """See `Webhook.verify`."""
        if token := _bearer(posted):
            return self._verify_token(token, posted.body, now)
        fields = parameters(posted)
        given = fields.get("sig", "")
        if not any(same(given.lower(), sign(fields, secret)) for secret in self._secrets):
            raise Untrusted("sig is missing, or no signature secret of ours has made it with its signature method.")
        require_fresh(seconds(fields.get("timestamp", "")), now, self._max_age)
        return given.lower()

    def _verify_token(self, token: str, body: bytes, now: float) -> str:
        claims = next((found for s in self._secrets if (found := _claims(token, s.secret)) is not None), None)
        if claims is None:
            raise Untrusted("The bearer token is none that a signature secret of ours has signed (HS256).")
        issued = claims.get("iat")
        if not isinstance(issued, int | float) or isinstance(issued, bool):
            raise Untrusted("The bearer token does not say when it was issued (iat).")
        require_fresh(issued, now, self._max_age)
        if not same(str(claims.get("payload_hash", "")).lower(), hashlib.sha256(body).hexdigest()):
            raise Untrusted("The body is not the one whose hash the bearer token has as payload_hash.")
        return str(claims.get("jti") or token)

    async def read(self, posted: Posted) -> Sequence[Told]:
        """See `Webhook.read`."""
        if _bearer(posted):
            try:
                return [_of_message(_decode_message(posted.body), posted.query)]
            except msgspec.DecodeError:
                raise Unreadable("The body is no message or status of the Messages API.") from None
        return [_of_sms(parameters(posted), posted.query)]


def sign(fields: Mapping[str, str], secret: Secret) -> str:
    """The signature of the SMS API, hexadecimal, over all parameters but ``sig`` in order."""
    cleaned = ((name, value.replace("&", "_").replace("=", "_")) for name, value in sorted(fields.items()))
    text = "".join(f"&{name}={value}" for name, value in cleaned if name != "sig").encode()
    if secret.method == "md5hash":
        return hashlib.md5(text + secret.secret.encode(), usedforsecurity=False).hexdigest()
    return hmac.digest(secret.secret.encode(), text, secret.method).hex()


def parameters(posted: Posted) -> dict[str, str]:
    """What the SMS API sends, as a form or as a flat JSON object.

    Raises:
        Untrusted: it is neither.
    """
    if posted.content_type == FORM:
        return dict(form(posted.body))
    try:
        return {name: "" if value is None else str(value) for name, value in _decode_flat(posted.body).items()}
    except msgspec.DecodeError:
        raise Untrusted("The body is no flat JSON object, and there is no bearer token.") from None


def _bearer(posted: Posted) -> str:
    kind, _, token = posted.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _claims(token: str, secret: str) -> dict[str, object] | None:
    """The claims of a token that this secret has signed; how old it may be is not looked at here."""
    try:
        claims = jwt.decode(
            token,
            secret,
            ["HS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
        return cast("dict[str, object]", claims)
    except (jwt.InvalidTokenError, UnicodeError):
        return None


def _of_sms(fields: Mapping[str, str], query: Mapping[str, str]) -> Told:
    status, code = fields.get("status", ""), fields.get("err-code", "")
    if not status and "text" in fields:
        return _inbound(fields.get("msisdn", ""), fields["text"])
    return _receipt(
        status,
        invalid=code in INVALID_NUMBERS,
        rejected=status == "rejected",
        number=fields.get("msisdn", ""),
        notification_id=query.get("notification_id") or fields.get("client-ref", ""),
        occurred_at=read_time(fields.get("message-timestamp", "")),
        message_id=fields.get("messageId", ""),
    )


def _of_message(message: _Message, query: Mapping[str, str]) -> Told:
    if not message.status:
        return _inbound(message.sender, message.text)
    code = message.error.type.rpartition("#")[2]
    return _receipt(
        message.status,
        invalid=code == MESSAGES_INVALID,
        rejected=code in MESSAGES_REJECTED,
        number=message.to,
        notification_id=query.get("notification_id") or message.client_ref,
        occurred_at=read_time(message.timestamp),
        message_id=message.message_uuid,
    )


def _inbound(sender: str, text: str) -> Told:
    if not sender:
        raise Unreadable("An inbound message does not say who sent it.")
    meant = keyword(text)
    return InboundSms(plus(sender), meant) if meant else Ignored("inbound")


def _receipt(
    status: str,
    *,
    invalid: bool,
    rejected: bool,
    number: str,
    notification_id: str,
    occurred_at: int | None,
    message_id: str,
) -> Told:
    if status not in _FAILED and status not in ("delivered", "read"):
        return Ignored(status)
    word, reason = (Status.READ if status == "read" else Status.DELIVERED), Reason.REPORTED
    if status in _FAILED:
        refused = Reason.REJECTED_BY_PROVIDER if rejected else Reason.UNDELIVERABLE
        word, reason = Status.BOUNCED, Reason.INVALID_RECIPIENT if invalid else refused
    return Receipt(
        notification_id=notification_id,
        reference="",
        status=word,
        reason=reason,
        occurred_at=occurred_at,
        message_id=message_id,
        suppress=[Suppress(plus(number), "invalid_number")] if status in _FAILED and invalid and number else [],
    )


def plus(number: str) -> str:
    """A number as Vonage writes it, in E.164."""
    return number if number.startswith("+") else f"+{number}"
