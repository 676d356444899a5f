"""What the router decided about one event, and what it had to know about the event's past to decide it.

Plain values on the hot path: structs without validation.
"""

import msgspec

from pipeline.events.vocabulary import Channel, Kind, Priority, Reason, Verdict


class ChannelRuling(msgspec.Struct, frozen=True):
    """What was decided for one channel, by which rule, on which inputs.

    `until` (ms) is set for `Verdict.DEFER` and `Verdict.DIGEST`. `template` is the one to render on this channel. `inputs` is JSON-able
    and holds only what mattered.
    """

    channel: Channel
    verdict: Verdict
    reason: Reason
    rule: str
    notification_id: str
    template: str
    until: int | None = None
    inputs: dict[str, object] = {}


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one event: one `ChannelRuling` for each channel that it names.

    `expires_at` (ms) is the event's own expiry, else the end of its type's time to live, else None. `rule` is the
    rule that decided the event as a whole, or `PER_CHANNEL`. `unrouted` says why there is no channel to account for
    the event: then, and only then, its outcome is one status record without a channel. It is None where no outcome
    is due: a cancel, and a duplicate. `sends`: it is critical, and its type may go out on a copy of the user past its
    time while the database is away.
    """

    kind: Kind
    category: str
    stream: str
    priority: Priority
    template: str
    collapse_key: str | None
    expires_at: int | None
    rule: str
    channels: list[ChannelRuling]
    unrouted: Reason | None = None
    inputs: dict[str, object] = {}
    sends: bool = False


PER_CHANNEL = "per_channel"
"""`Ruling.rule` where each channel has a rule of its own."""


class EarlierRuling(msgspec.Struct, frozen=True, array_like=True):
    """What was decided for one channel when the same record was routed before; `decided_at` and `until` in ms.

    Give the `rule` too where it was kept: only then is what follows from it the same record, byte for byte.
    """

    channel: Channel
    verdict: Verdict
    reason: Reason
    until: int | None
    decided_at: int
    rule: str = "routed_again"


class Claim(msgspec.Struct, frozen=True):
    """What was known about an idempotency key of a recipient before this record came.

    `duplicate`: another record claimed it. `cancelled`: a cancel for it was accepted. `earlier`: this very record was
    decided before and is routed again; it is decided the same way again.
    """

    duplicate: bool = False
    cancelled: bool = False
    earlier: list[EarlierRuling] | None = None


FIRST_SEEN = Claim()
"""Nothing was known before."""
