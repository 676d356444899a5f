"""Which idempotency keys were accepted, with which body, and which event an id names; in Redis, for the router's retention.

The router recognises duplicates by itself. The claims here make a repeated request get the same answer, another body
under the same key a 409, and let an event be cancelled by its id.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from pipeline.events.records import NotificationRequested
from pipeline.gateway.events.intake import Submission
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.scripts import lua

_TIME_DIGITS = 13


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
        self._claim = redis.register_script(lua("gateway_claim"))
        self._put = redis.register_script(lua("router_put"))
        self._taking: Coalescer[Submission, Claim] = Coalescer(self._take_all, spacing=0.003)
        self._putting: Coalescer[tuple[str, bytes], None] = Coalescer(self._put_all, spacing=0.003)

    async def take(self, submission: Submission) -> Claim:
        """Ask for the key; raises one of `REDIS_AWAY`."""
        return await self._taking.call(submission)

    async def accepted(self, submission: Submission, event_id: str) -> None:
        """Kafka has it; raises one of `REDIS_AWAY`."""
        await self._put_state("A", submission, event_id)

    async def give_up(self, submission: Submission, event_id: str) -> None:
        """Kafka may or may not have it: whoever asks next tries again, with the same id. Raises one of `REDIS_AWAY`."""
        await self._put_state("P", submission, event_id)

    async def find(self, event_id: str) -> Address | None:
        """Which event has this id; None: none that was accepted here lately. Raises one of `REDIS_AWAY`."""
        raw = await self._redis.get(_address_key(event_id))
        return _decode_address(raw) if isinstance(raw, bytes) else None

    async def _put_state(self, state: str, submission: Submission, event_id: str) -> None:
        value = state.encode() + submission.fingerprint + b"0" * _TIME_DIGITS + event_id.encode()
        await self._putting.call((_claim_key(submission.event), value))

    async def _take_all(self, submissions: list[Submission]) -> list[Claim]:
        keys = [key for s in submissions for key in (_claim_key(s.event), _address_key(s.event.event_id))]
        values = (
            value
            for s in submissions
            for value in (s.fingerprint, s.event.event_id.encode(), _encode(_address(s.event)))
        )
        answers = await self._claim(keys=keys, args=[self._pending_ms, self._retention_ms, *values])
        return list(_read(submissions, answers))

    async def _put_all(self, entries: list[tuple[str, bytes]]) -> list[None]:
        arguments = [argument for _, value in entries for argument in (value, self._retention_ms)]
        await self._put(keys=[key for key, _ in entries], args=arguments)
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
