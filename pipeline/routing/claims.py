"""Who asked first: the claim that the first record with an idempotency key leaves, for each recipient.

A claim says *which record* made it and what was decided then. The same record routed again after a crash finds its
own claim and repeats its decision; any other record with that key is a duplicate. (A claim that only said "seen" would
lose the notification: the claim is durable before the output is.)
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


def read_claim(stored: StoredClaim | None, partition: int, offset: int, origin: Origin) -> Claim:
    """What the stored claim means for the record at `partition` and `offset`."""
    if stored is None:
        return FIRST_SEEN
    if origin is not Origin.INGEST or stored.partition < 0:
        return Claim(duplicate=False, cancelled=stored.cancelled, earlier=None)
    if (stored.partition, stored.offset) != (partition, offset):
        return Claim(duplicate=True, cancelled=stored.cancelled, earlier=None)
    earlier = [
        EarlierRuling(
            channel=channel, verdict=verdict, reason=reason, until=until, decided_at=stored.decided_at, rule=rule
        )
        for channel, verdict, reason, until, rule in stored.channels
    ]
    return Claim(duplicate=False, cancelled=stored.cancelled, earlier=earlier or None)


def next_claim(
    stored: StoredClaim | None, ruling: Ruling, partition: int, offset: int, origin: Origin, now: int
) -> StoredClaim | None:
    """The claim after this ruling; None if it stays as it is."""
    if ruling.kind is Kind.CANCEL:
        return _cancelled(stored, now)
    if origin is not Origin.INGEST or (stored is not None and stored.partition >= 0):
        return None
    return StoredClaim(
        partition=partition,
        offset=offset,
        decided_at=now,
        cancelled=stored is not None,
        channels=[(c.channel, c.verdict, c.reason, c.until, c.rule) for c in ruling.channels],
    )


def _cancelled(stored: StoredClaim | None, now: int) -> StoredClaim | None:
    if stored is None:
        return StoredClaim(partition=-1, offset=-1, decided_at=now, cancelled=True, channels=[])
    return None if stored.cancelled else msgspec.structs.replace(stored, cancelled=True)
