"""Acts on what a provider tells: status records, and the suppression list."""

from collections.abc import Callable, Sequence

import msgspec

from pipeline.catalogue.model import Stream
from pipeline.events.references import Feedback, Reference, Seal
from pipeline.events.vocabulary import Channel
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.gateway.webhooks.base import InboundSms, Receipt, Suppress, Told, Webhook
from pipeline.observability.metrics import Metrics
from pipeline.storage.references import ReferenceShelf
from pipeline.storage.suppressions import Entry, Suppressions
from pipeline.suppression.keywords import Keyword
from pipeline.users.snapshot import EVERY

STOP = "stop"

DAY_MS = 86_400_000


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a webhook: `taken` things that are new, `repeated`, `unknown` (no notification of ours), `ignored`."""

    taken: int = 0
    repeated: int = 0
    unknown: int = 0
    ignored: int = 0


class Taker:
    """Takes what verified webhooks tell. `now_ms`: for what a provider gives no time."""

    def __init__(
        self,
        *,
        feedback: FeedbackWriter,
        suppressions: Suppressions,
        seal: Seal,
        shelf: ReferenceShelf,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._feedback = feedback
        self._suppressions = suppressions
        self._seal = seal
        self._shelf = shelf
        self._counts = metrics.webhooks
        self._now_ms = now_ms

    async def take(self, webhook: Webhook, told: Sequence[Told]) -> Taken:
        """First the suppression list, then the status records; done twice it is the same.

        Raises:
            Unavailable: a server is away. Nothing is lost when it is told again.
            one of `REDIS_AWAY`: Redis is.
        """
        receipts = [one for one in told if isinstance(one, Receipt)]
        inbound = [one for one in told if isinstance(one, InboundSms)]
        references = await self._references(receipts)
        entries = [
            _entry(reference, suppress, webhook.channel)
            for receipt, reference in zip(receipts, references, strict=True)
            for suppress in receipt.suppress
        ]
        if entries:
            await self._suppressions.put(entries)
        for message in inbound:
            await self._heed(message)
        pieces = [
            (reference, self._feedback_of(webhook.name, receipt))
            for receipt, reference in zip(receipts, references, strict=True)
            if reference
        ]
        fresh = await self._feedback.write(pieces)
        taken = Taken(
            taken=fresh + len(inbound),
            repeated=len(pieces) - fresh,
            unknown=len(receipts) - len(pieces),
            ignored=len(told) - len(receipts) - len(inbound),
        )
        self._count(webhook.name, taken)
        return taken

    async def _references(self, receipts: Sequence[Receipt]) -> list[Reference | None]:
        """What each is about: its sealed reference says, else what waits for its id. Both must be of one notification."""
        opened = [self._seal.open(receipt.reference) for receipt in receipts]
        bare = (r.notification_id for r, found in zip(receipts, opened, strict=True) if not found and r.notification_id)
        shelved = await self._shelf.find(bare)
        found = [
            reference or shelved.get(receipt.notification_id)
            for receipt, reference in zip(receipts, opened, strict=True)
        ]
        return [
            reference if reference and receipt.notification_id in ("", reference.notification_id) else None
            for receipt, reference in zip(receipts, found, strict=True)
        ]

    async def _heed(self, message: InboundSms) -> None:
        """STOP and START; HELP is answered by the provider, which knows who the number belongs to."""
        match message.keyword:
            case Keyword.STOP:
                await self._suppressions.add(Channel.SMS, None, message.sender, EVERY, STOP)
            case Keyword.START:
                entry = Entry(channel=Channel.SMS, address=message.sender, reason=STOP)
                await self._suppressions.remove(entry, every_stream=True, reason=STOP)

    def _feedback_of(self, provider: str, receipt: Receipt) -> Feedback:
        now, at = self._now_ms(), receipt.occurred_at
        return Feedback(
            status=receipt.status,
            reason=receipt.reason,
            occurred_at=at if at is not None and 0 < at < now + DAY_MS else now,
            provider=provider,
            provider_message_id=receipt.message_id,
            detail=receipt.detail,
        )

    def _count(self, provider: str, taken: Taken) -> None:
        for outcome, number in msgspec.structs.asdict(taken).items():
            if number:
                self._counts.labels(provider, outcome).inc(number)


def _entry(reference: Reference | None, suppress: Suppress, channel: Channel) -> Entry:
    """What is said of marketing mail alone counts for marketing alone; where nobody knows, for all."""
    marketing = not suppress.whole and reference is not None and reference.stream == Stream.MARKETING
    return Entry(
        channel=channel,
        stream=Stream.MARKETING if marketing else EVERY,
        address=suppress.address,
        user_id=reference.recipient_id if reference else None,
        reason=suppress.reason,
    )
