"""The closed vocabularies of the records: channels, priorities, statuses, verdicts, reasons.

What a record says in one of these fields is one of these words and nothing else. In Avro the two sets that can
never grow without a new topic (channels, priorities) are enums; the others travel as strings, so that a new word is
no schema break (see ``docs/decisions/0003-closed-words-as-strings.md``).
"""

from enum import StrEnum


class Channel(StrEnum):
    """A way to reach a person. The topic of ``in_app`` is spelled ``in-app`` (see `pipeline.kafka.names`)."""

    PUSH = "push"
    EMAIL = "email"
    SMS = "sms"
    IN_APP = "in_app"


class Priority(StrEnum):
    """Urgency, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Kind(StrEnum):
    """What a record on the ingest topic asks for."""

    REQUEST = "request"
    CANCEL = "cancel"


class Origin(StrEnum):
    """Where a record on the ingest topic came from; travels in the header ``origin``."""

    INGEST = "ingest"
    RELEASED = "released"
    REPLAYED = "replayed"


class Verdict(StrEnum):
    """What the router decided for one channel of one event."""

    DISPATCH = "dispatch"
    SUPPRESS = "suppress"
    DEFER = "defer"
    DIGEST = "digest"
    EXPIRE = "expire"
    CANCEL = "cancel"
    DUPLICATE = "duplicate"


class Status(StrEnum):
    """What happened to a notification. Sorted by what the accounts make of it, see the sets below."""

    SENT = "sent"
    SUPPRESSED = "suppressed"
    DIGESTED = "digested"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"

    DEFERRED = "deferred"
    DEAD_LETTERED = "dead_lettered"

    RETRYING = "retrying"
    RELEASED = "released"
    REPLAYED = "replayed"

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    READ = "read"
    UNSUBSCRIBED = "unsubscribed"


TERMINAL = frozenset({Status.SENT, Status.SUPPRESSED, Status.DIGESTED, Status.EXPIRED, Status.FAILED, Status.CANCELLED})
"""Exactly one of these for each accepted event × channel."""

WAITING = frozenset({Status.DEFERRED, Status.DEAD_LETTERED})
"""Not over: waits for a time, or for a person."""

ON_THE_WAY = frozenset({Status.RETRYING, Status.RELEASED, Status.REPLAYED})
"""Says that something moves on; changes nothing in the balance but ending a wait."""

FEEDBACK = frozenset(
    {
        Status.DELIVERED,
        Status.BOUNCED,
        Status.COMPLAINED,
        Status.OPENED,
        Status.CLICKED,
        Status.READ,
        Status.UNSUBSCRIBED,
    }
)
"""What comes in after ``sent``."""


class Reason(StrEnum):
    """Why: the closed list that ``Decision.channels[].reason`` and ``DeliveryStatus.reason`` draw from.

    `REASON_TEXT` says each in words that a support agent can read to a customer.
    """

    # the router let it pass
    ALLOWED = "allowed"
    MANDATORY = "mandatory"
    # the router held or stopped it
    DUPLICATE = "duplicate"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    NO_ADDRESS = "no_address"
    NO_CHANNEL = "no_channel"
    CHANNEL_NOT_ALLOWED = "channel_not_allowed"
    ADDRESS_SUPPRESSED = "address_suppressed"
    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    SCHEDULED = "scheduled"
    QUIET_HOURS = "quiet_hours"
    FREQUENCY_CAP = "frequency_cap"
    DIGEST = "digest"
    ESCALATION = "escalation"
    # while it waited
    REPLACED = "replaced"
    SEEN = "seen"
    CLICKED = "clicked"
    NOT_NEEDED = "not_needed"
    # delivery
    ACCEPTED = "accepted"
    INVALID_RECIPIENT = "invalid_recipient"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    PROVIDER_CONFIGURATION = "provider_configuration"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    THROTTLED = "throttled"
    WARM_UP = "warm_up"
    RETRIES_EXHAUSTED = "retries_exhausted"
    TEMPLATE_ERROR = "template_error"
    TOO_LARGE = "too_large"
    TOO_EXPENSIVE = "too_expensive"
    MALFORMED = "malformed"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_DATA = "invalid_data"
    IN_DOUBT = "in_doubt"
    DROPPED = "dropped"
    # after it was sent
    REPORTED = "reported"
    BY_MACHINE = "by_machine"
    UNDELIVERABLE = "undeliverable"


REASON_TEXT: dict[Reason, str] = {
    Reason.ALLOWED: "No rule held it back.",
    Reason.MANDATORY: "The catalogue marks this type as mandatory: it is sent even to who opted out.",
    Reason.DUPLICATE: "The same event (idempotency key and recipient) had been accepted before.",
    Reason.CANCELLED: "The sending service took it back before it was delivered.",
    Reason.EXPIRED: "It was no longer worth delivering: its expiry time or its type's time to live had passed.",
    Reason.UNKNOWN_TYPE: "The event catalogue does not know this event type, and the setting says to suppress it.",
    Reason.UNKNOWN_RECIPIENT: "There is no user with this recipient id.",
    Reason.NO_ADDRESS: "The user has no address for this channel (no device, e-mail address or phone number).",
    Reason.NO_CHANNEL: "Neither the event nor the catalogue names a channel.",
    Reason.CHANNEL_NOT_ALLOWED: "The catalogue does not allow this type on that channel.",
    Reason.ADDRESS_SUPPRESSED: "The address is on the suppression list (bounce, complaint, STOP or by hand).",
    Reason.NO_CONSENT: "This category needs consent, and the user has not given it.",
    Reason.OPTED_OUT: "The user turned this off in their preferences.",
    Reason.SCHEDULED: "The sending service asked for a later time.",
    Reason.QUIET_HOURS: "It fell into the user's quiet hours; it waits for their end.",
    Reason.FREQUENCY_CAP: "The user had already received as many of these as the frequency cap allows.",
    Reason.DIGEST: "It is collected into a digest.",
    Reason.ESCALATION: "It is a later step: it waits to see whether the steps before it are enough.",
    Reason.REPLACED: "A newer notification with the same collapse key took its place while it waited.",
    Reason.SEEN: "The recipient had seen it on another channel before this step was due.",
    Reason.CLICKED: "The recipient had followed its link on another channel before this step was due.",
    Reason.NOT_NEEDED: "This step is for when the one before it fails, and that one was sent.",
    Reason.ACCEPTED: "The provider accepted it.",
    Reason.INVALID_RECIPIENT: "The provider says that the address does not exist (any more).",
    Reason.REJECTED_BY_PROVIDER: "The provider refused it for good.",
    Reason.PROVIDER_CONFIGURATION: "The provider refused our account, credentials or sender.",
    Reason.PROVIDER_UNAVAILABLE: "The provider could not be reached or answered with an error of its own.",
    Reason.THROTTLED: "The provider asked us to slow down.",
    Reason.WARM_UP: "The new sending addresses have carried as much mail as they may on that day; it waits for the next.",
    Reason.RETRIES_EXHAUSTED: "All tries failed; it waits in the dead-letter topic for a person.",
    Reason.TEMPLATE_ERROR: "Its template could not be rendered.",
    Reason.TOO_LARGE: "It is larger than the channel allows.",
    Reason.TOO_EXPENSIVE: "The SMS would cost more than the settings allow.",
    Reason.MALFORMED: "The record could not be read.",
    Reason.UNKNOWN_SCHEMA: "The record names a schema that nobody knows.",
    Reason.INVALID_DATA: "The event's data is not what the catalogue says for its type.",
    Reason.IN_DOUBT: "A crash left open whether the provider had accepted it; the policy decided.",
    Reason.DROPPED: "A person removed it from the dead-letter topic.",
    Reason.REPORTED: "It was reported after the message was sent: by the provider, or by what the person did.",
    Reason.BY_MACHINE: "A proxy or a scanner opened it or followed its link, as far as can be told, and no person did.",
    Reason.UNDELIVERABLE: "It did not get through (mailbox full, phone off, filtered); the address may be good.",
}

DOUBT_TEXT: dict[str, str] = {
    Status.SENT: "An answer had been lost, and it was sent again: it may have arrived twice.",
    Status.RETRYING: "The answer was lost, and it is tried again: it may arrive twice.",
    Status.DEAD_LETTERED: "Nobody knows whether it was sent: a person decides whether to send it again.",
    Status.FAILED: "Nobody knows whether it was sent; it is not sent again.",
}
"""What `in_doubt` on a record of this status means, in words."""

DOUBT = "An answer was lost: it may have been sent before."
"""The same with any other status."""
