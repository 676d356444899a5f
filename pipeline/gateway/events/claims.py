"""Which idempotency keys were accepted, with which body, and which event an id names; in Redis, for the router's retention.

The router recognises duplicates by itself. The claims here make a repeated request get the same answer, another body
under the same key a 409, and let an event be cancelled by its id.
"""

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from pipeline.events.records import NotificationRequested
from pipeline.gateway.events.intake import Submission
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript, as_cluster

_TIME_DIGITS = 13

NOTE_SPACING = 0.02
"""Seconds between two lists of notes under load: nobody waits for them, and each list costs a call."""


class Standing(StrEnum):
    """What is known about a key: the first letter of the script's answer."""

    NEW = "N"
    TAKEN_OVER = "T"
    ACCEPTED = "A"
    WAIT = "W"
    CONFLICT = "C"


class Claim(NamedTuple):
    """The answer for one submission. `event_id`: the one that counts, its own or the first one's."""

    standing: Standing
    event_id: str


class Address(msgspec.Struct, frozen=True, array_like=True):
    """What an event's id leads to."""

    recipient_id: str
    idempotency_key: str
    event_type: str
    source: str
    created_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode_address = msgspec.msgpack.Decoder(Address).decode


class Claims:
    """`retention` and `pending` in seconds: how long a claim lasts, how long its owner may wait for Kafka."""

    def __init__(self, redis: Redis, retention: float, pending: float) -> None:
        self._redis = redis
        self._retention_ms = int(retention * 1000)
        self._pending_ms = int(pending * 1000)
        self._one_server = as_cluster(redis) is None
        self._claim = SlotScript(redis, lua("gateway_claim"))
        self._put = SlotScript(redis, lua("router_put"))
        self._taking: Coalescer[Submission, Claim] = Coalescer(self._take_all, spacing=0.003)
        self._putting: Coalescer[tuple[str, bytes], None] = Coalescer(self._put_all, spacing=NOTE_SPACING)

    async def take(self, submission: Submission) -> Claim:
        """Ask for the key; raises one of `REDIS_AWAY`."""
        return await self._taking.call(submission)

    def note(self, submission: Submission, *, accepted: bool) -> "asyncio.Future[None]":
        """Kafka has it; or (not `accepted`) may or may not have it: whoever asks next tries again, with the same id.

        The future fails with one of `REDIS_AWAY`.
        """
        state = b"A" if accepted else b"P"
        value = state + submission.fingerprint + b"0" * _TIME_DIGITS + submission.event.event_id.encode()
        return self._putting.submit((_claim_key(submission.event), value))

    async def find(self, event_id: str) -> Address | None:
        """Which event has this id; None: none that was accepted here lately. Raises one of `REDIS_AWAY`."""
        raw = await self._redis.get(_address_key(event_id))
        return _decode_address(raw) if isinstance(raw, bytes) else None

    async def _take_all(self, submissions: list[Submission]) -> list[Claim]:
        """In a cluster the addresses lie in other slots than the claims, and are written once those are taken."""
        addressed = [(_address_key(s.event.event_id), _encode(_address(s.event))) for s in submissions]
        calls = [
            Call(
                (_claim_key(s.event), key) if self._one_server else (_claim_key(s.event),),
                (s.fingerprint, s.event.event_id.encode(), address),
            )
            for s, (key, address) in zip(submissions, addressed, strict=True)
        ]
        answers = await self._claim.ask(calls, (len(calls[0].keys), self._pending_ms, self._retention_ms))
        claims = list(_read(submissions, cast("list[bytes]", answers)))
        if not self._one_server:
            ours = (Standing.NEW, Standing.TAKEN_OVER)
            await self._put_all([a for a, claim in zip(addressed, claims, strict=True) if claim.standing in ours])
        return claims

    async def _put_all(self, entries: list[tuple[str, bytes]]) -> list[None]:
        if entries:
            await self._put.tell([Call((key,), (value, self._retention_ms)) for key, value in entries])
        return [None] * len(entries)


def _read(submissions: list[Submission], answers: Iterable[bytes]) -> Iterable[Claim]:
    for submission, answer in zip(submissions, answers, strict=True):
        text = answer.decode()
        yield Claim(Standing(text[0]), text[1:] or submission.event.event_id)


def _claim_key(event: NotificationRequested) -> str:
    return f"gw:{event.kind[0]}:{{{event.recipient_id}}}:{event.idempotency_key}"


def _address_key(event_id: str) -> str:
    return f"gw:event:{{{event_id}}}"


def _address(event: NotificationRequested) -> Address:
    return Address(event.recipient_id, event.idempotency_key, event.event_type, event.source, event.created_at)
