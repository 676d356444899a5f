"""Decides the same events under two policies, each with its own past, and says where they differ. Pure but for the past.

Each event is decided at the time of its record, for its user as they are now. A policy's own decisions make its own
counters and claims, so that a cap that lets more through shows what follows from that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.catalogue.model import Catalogue
from pipeline.config import RouterSettings
from pipeline.errors import MalformedRecord, UnknownSchema
from pipeline.events.codec import Codec, DecodedEvent
from pipeline.events.ids import notification_id
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Origin, Verdict
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header, number_of, origin_of
from pipeline.routing.decide import decide
from pipeline.routing.ruling import FIRST_SEEN
from pipeline.scheduler.records import SOURCE as DIGEST_SOURCE
from pipeline.users.snapshot import UserSnapshot
from pipeline.whatif.outcome import Difference, Outcome, differences, outcomes, refused
from pipeline.whatif.past import Past, Pasts

USERS_IN_MEMORY = 20_000
"""For each side; some 40 MB."""


class Recorded(NamedTuple):
    """One ingest record as it was read; `at` in ms."""

    record: Inbound
    decoded: DecodedEvent
    origin: Origin
    at: int

    @property
    def event(self) -> NotificationRequested:
        return self.decoded.event


class Compared(NamedTuple):
    """Both sides of one event. None: that side has nothing to decide, since nothing of it waited there."""

    recorded: Recorded
    present: list[Outcome] | None
    candidate: list[Outcome] | None

    @property
    def differences(self) -> list[Difference]:
        """None where one side did not decide: then the difference was told when the other began to wait."""
        if self.present is None or self.candidate is None:
            return []
        return list(differences(self.present, self.candidate))


class Side:
    """One policy, and the past it makes."""

    def __init__(self, catalogue: Catalogue, settings: RouterSettings, most_users: int = USERS_IN_MEMORY) -> None:
        self.catalogue = catalogue
        self._unknown_types = settings.unknown_types
        self._retention = int(settings.idempotency_retention * 1000)
        self.pasts = Pasts(self._retention, most_users)
        self._digests = {entry.digest.type for entry in catalogue.entries.values() if entry.digest is not None}

    @property
    def memory(self) -> int:
        """Milliseconds for which its caps look back."""
        caps = (cap.window for entry in self.catalogue.entries.values() for cap in entry.caps)
        return max(caps, default=0) * 1000

    def decide(self, recorded: Recorded, user: UserSnapshot) -> list[Outcome] | None:
        """What becomes of it; None: it comes from a wait, or a digest, that this policy does not know."""
        event, past = recorded.event, self.pasts[user.user_id]
        if not self._has_cause(event, recorded.origin, past):
            return None
        fresh = recorded.origin is Origin.INGEST
        claim = past.claim(event.idempotency_key, recorded.at, self._retention) if fresh else FIRST_SEEN
        try:
            ruling = decide(
                event,
                recorded.decoded.data,
                user,
                past.history,
                claim,
                self.catalogue,
                recorded.at,
                recorded.origin,
                self._unknown_types,
            )
        except MalformedRecord as error:
            return refused(error)
        if fresh:
            past.take(event.idempotency_key, event.kind, claim, recorded.at)
        for channel in ruling.channels:
            if channel.verdict is Verdict.DEFER:
                past.wait(channel.notification_id)
        return outcomes(ruling)

    def _has_cause(self, event: NotificationRequested, origin: Origin, past: Past) -> bool:
        if origin is Origin.RELEASED:
            channel = event.channels[0] if event.channels else ""
            return past.waits(notification_id(event.idempotency_key, event.recipient_id, channel))
        return event.source != DIGEST_SOURCE or event.event_type in self._digests


class Comparison:
    """Two sides, fed with the same events."""

    def __init__(self, present: Side, candidate: Side, codec: Codec) -> None:
        self.present = present
        self.candidate = candidate
        self._codec = codec

    @property
    def memory(self) -> int:
        """Milliseconds before an event whose traffic bears on it, through caps."""
        return max(self.present.memory, self.candidate.memory)

    async def read(self, records: Sequence[Inbound]) -> tuple[list[Recorded], int]:
        """What can be read, and how many records cannot. Of what is replayed only what was not decided before.

        Raises:
            Unavailable: the schema registry is away, and was needed.
        """
        found: list[Recorded] = []
        unreadable = 0
        for record in records:
            origin = origin_of(record.headers)
            if header(record.headers, Header.REPLAY_FIRST) is not None:
                origin = Origin.INGEST
            if origin is Origin.REPLAYED:
                continue
            at = max(record.timestamp, number_of(record.headers, Header.RELEASED_AT))
            try:
                found.append(Recorded(record, await self._decode(record.value), origin, at))
            except MalformedRecord:
                unreadable += 1
        return found, unreadable

    async def _decode(self, value: bytes | None) -> DecodedEvent:
        try:
            return self._codec.decode_event(value)
        except UnknownSchema as unknown:
            if not await self._codec.book.learn(unknown.schema_id):
                raise
            return self._codec.decode_event(value)

    def compare(self, batch: Sequence[Recorded], users: dict[str, UserSnapshot]) -> list[Compared]:
        """In order; `users` holds all recipients."""
        if not batch:
            return []
        ids, now = dict.fromkeys(r.event.recipient_id for r in batch), batch[-1].at
        for side in (self.present, self.candidate):
            side.pasts.fetch(list(ids), now)
        return [self._one(recorded, users[recorded.event.recipient_id]) for recorded in batch]

    def _one(self, recorded: Recorded, user: UserSnapshot) -> Compared:
        return Compared(recorded, self.present.decide(recorded, user), self.candidate.decide(recorded, user))

    def close(self) -> None:
        self.present.pasts.close()
        self.candidate.pasts.close()
