"""Amazon SES: what a configuration set or an identity publishes to a topic of SNS.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html,
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

import logging
from collections.abc import Sequence

import msgspec

from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.gateway.webhooks.base import (
    Ignored,
    Posted,
    Receipt,
    Suppress,
    Told,
    Unreadable,
    Untrusted,
    read_time,
    require_fresh,
)
from pipeline.gateway.webhooks.sns import (
    CONFIRMATION,
    NOTIFICATION,
    UNSUBSCRIBED,
    Envelope,
    SnsEndpoint,
    is_signed,
    read_envelope,
    sent_at,
)
from pipeline.providers.ses import reference_of_tags
from pipeline.providers.ses_table import NAME

logger = logging.getLogger(__name__)

REPEATS_FOR = 3_600.0
"""Seconds for which SNS repeats a message, with its first timestamp:
https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html"""


class _Header(msgspec.Struct, frozen=True):
    name: str
    value: str


class _Mail(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str = ""
    timestamp: str = ""
    tags: dict[str, list[str]] = {}
    headers: list[_Header] = []


class _Recipient(msgspec.Struct, frozen=True, rename="camel"):
    email_address: str


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """What is said of the event itself, whatever it is."""

    timestamp: str = ""
    bounce_type: str = ""
    bounced_recipients: list[_Recipient] = []
    complained_recipients: list[_Recipient] = []
    complaint_feedback_type: str | None = None
    link: str = ""


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    event_type: str = ""
    notification_type: str = ""
    mail: _Mail = _Mail()
    delivery: _Part = _Part()
    bounce: _Part = _Part()
    complaint: _Part = _Part()
    open: _Part = _Part()
    click: _Part = _Part()
    subscription: _Part = _Part()
    reject: _Part = _Part()


_decode = msgspec.json.Decoder(_Event).decode


class SesWebhook:
    """`topics`: the ARNs of our topics; a message of any other is refused. `max_age` in seconds."""

    name = NAME
    channel = Channel.EMAIL
    refusal = 403

    def __init__(self, topics: frozenset[str], endpoint: SnsEndpoint, max_age: float) -> None:
        self._topics = topics
        self._endpoint = endpoint
        self._max_age = max(max_age, REPEATS_FOR)

    async def verify(self, posted: Posted, now: float) -> str:
        """See `Webhook.verify`. Nobody is asked for the certificate of a message that is of no topic of ours."""
        envelope = read_envelope(posted.body)
        if envelope.topic_arn not in self._topics:
            raise Untrusted("TopicArn is none of providers.ses.topics.")
        require_fresh(sent_at(envelope), now, self._max_age)
        if not is_signed(envelope, await self._endpoint.key(envelope, now)):
            raise Untrusted("The signature is not that of the certificate at SigningCertURL.")
        return envelope.message_id

    async def read(self, posted: Posted) -> Sequence[Told]:
        """See `Webhook.read`."""
        envelope = read_envelope(posted.body)
        match envelope.type:
            case "Notification":
                return _told(envelope)
            case "SubscriptionConfirmation":
                await self._endpoint.confirm(envelope)
                logger.info("confirmed the subscription to %s", envelope.topic_arn)
            case "UnsubscribeConfirmation":
                logger.warning("the subscription to %s has ended: no receipts come from there", envelope.topic_arn)
        return [Ignored(envelope.type if envelope.type in (NOTIFICATION, CONFIRMATION, UNSUBSCRIBED) else "unknown")]


def _told(envelope: Envelope) -> Sequence[Told]:
    try:
        event = _decode(envelope.message)
    except msgspec.DecodeError:
        raise Unreadable("The message is no event of SES.") from None
    match event.event_type or event.notification_type:
        case "Delivery":
            return [_receipt(event.mail, event.delivery, Status.DELIVERED)]
        case "Open":
            return [_receipt(event.mail, event.open, Status.OPENED)]
        case "Click":
            return [_receipt(event.mail, event.click, Status.CLICKED)]
        case "Bounce":
            hard = event.bounce.bounce_type == "Permanent"
            reason = Reason.INVALID_RECIPIENT if hard else Reason.UNDELIVERABLE
            people = event.bounce.bounced_recipients if hard else []
            entries = [Suppress(person.email_address, "bounce") for person in people]
            return [_receipt(event.mail, event.bounce, Status.BOUNCED, reason, entries)]
        case "Complaint":
            return [_complaint(event)]
        case "Reject" | "Rendering Failure":
            return [_receipt(event.mail, event.reject, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER)]
        case "Subscription":
            return [_receipt(event.mail, event.subscription, Status.UNSUBSCRIBED)]
        case other:
            return [Ignored(other)]


def _complaint(event: _Event) -> Told:
    """A person may also say that what was taken for spam is none."""
    if event.complaint.complaint_feedback_type == "not-spam":
        return Ignored("not-spam")
    people = event.complaint.complained_recipients
    entries = [Suppress(person.email_address, "complaint", whole=False) for person in people]
    return _receipt(event.mail, event.complaint, Status.COMPLAINED, Reason.REPORTED, entries)


def _receipt(
    mail: _Mail, part: _Part, status: Status, reason: Reason = Reason.REPORTED, suppress: Sequence[Suppress] = ()
) -> Receipt:
    tags = {name: values[0] for name, values in mail.tags.items() if values}
    header = next((h.value for h in mail.headers if h.name.lower() == "x-notification-id"), "")
    return Receipt(
        notification_id=tags.get("notification_id") or header,
        reference=reference_of_tags(tags),
        status=status,
        reason=reason,
        occurred_at=read_time(part.timestamp) or read_time(mail.timestamp),
        message_id=mail.message_id,
        detail=part.link,
        suppress=suppress,
    )
