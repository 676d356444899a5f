"""Who asked first: the claim that the first record with an idempotency key leaves, for each recipient.

A claim says *which record* made it and what was decided then. The same record routed again after a crash finds its
own claim and repeats its decision; any other record with that key is a duplicate. (A claim that only said "seen" would
lose the notification: the claim is durable before the output is.)

What was released or replayed is decided afresh, once for each round: the claim of a round repeats its decision whenever
that round comes again, be it the same record after a crash of the router or a second one after a crash of the scheduler.
"""

import msgspec

from pipeline.events.vocabulary import Channel, Kind, Origin, Reason, Verdict
from pipeline.routing.ruling import FIRST_SEEN, Claim, EarlierRuling, Ruling


class StoredClaim(msgspec.Struct, frozen=True, array_like=True):
    """What Redis holds. `partition` −1: only a cancel has come so far."""

    partition: int
    offset: int
    decided_at: int
    cancelled: bool
    channels: list[tuple[Channel, Verdict, Reason, int | None, str]]


_decoder = msgspec.msgpack.Decoder(StoredClaim)
_encoder = msgspec.msgpack.Encoder()


def decode_claim(raw: bytes | None) -> StoredClaim | None:
    return None if raw is None else _decoder.decode(raw)


def encode_claim(claim: StoredClaim) -> bytes:
    return _encoder.encode(claim)


def read_claim(
    stored: StoredClaim | None, partition: int, offset: int, origin: Origin, this_round: StoredClaim | None = None
) -> Claim:
    """What the stored claim means for the record at `partition` and `offset`.

    `this_round` is what the same round of a released or replayed record left when it was decided before.
    """
    if this_round is not None:
        return Claim(cancelled=stored is not None and stored.cancelled, earlier=_earlier(this_round))
    if stored is None:
        return FIRST_SEEN
    if origin is not Origin.INGEST or stored.partition < 0:
        return Claim(duplicate=False, cancelled=stored.cancelled, earlier=None)
    if (stored.partition, stored.offset) != (partition, offset):
        return Claim(duplicate=True, cancelled=stored.cancelled, earlier=None)
    return Claim(duplicate=False, cancelled=stored.cancelled, earlier=_earlier(stored))


def _earlier(stored: StoredClaim) -> list[EarlierRuling] | None:
    earlier = [
        EarlierRuling(
            channel=channel, verdict=verdict, reason=reason, until=until, decided_at=stored.decided_at, rule=rule
        )
        for channel, verdict, reason, until, rule in stored.channels
    ]
    return earlier or None


def next_claim(
    stored: StoredClaim | None, ruling: Ruling, partition: int, offset: int, origin: Origin, now: int
) -> StoredClaim | None:
    """The claim after this ruling; None if it stays as it is."""
    if ruling.kind is Kind.CANCEL:
        return _cancelled(stored, now)
    if origin is not Origin.INGEST or (stored is not None and stored.partition >= 0):
        return None
    return _claim(ruling, partition, offset, now, cancelled=stored is not None)


def round_claim(ruling: Ruling, partition: int, offset: int, decided_at: int) -> StoredClaim:
    """What a round of a released or replayed record leaves."""
    return _claim(ruling, partition, offset, decided_at, cancelled=False)


def _claim(ruling: Ruling, partition: int, offset: int, decided_at: int, *, cancelled: bool) -> StoredClaim:
    return StoredClaim(
        partition=partition,
        offset=offset,
        decided_at=decided_at,
        cancelled=cancelled,
        channels=[(c.channel, c.verdict, c.reason, c.until, c.rule) for c in ruling.channels],
    )


def _cancelled(stored: StoredClaim | None, now: int) -> StoredClaim | None:
    if stored is None:
        return StoredClaim(partition=-1, offset=-1, decided_at=now, cancelled=True, channels=[])
    return None if stored.cancelled else msgspec.structs.replace(stored, cancelled=True)
