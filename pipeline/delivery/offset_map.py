"""What a commit's metadata says beyond its offset, as text that fits the broker's limit. Pure.

Kafka keeps one number and one short text for each partition of a group. The number ends the prefix without gaps that has
finished; the text says what has finished behind it, and what a successor may believe about the rest. (The same use of
the metadata as in Confluent's parallel consumer; the format is our own.)
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAGIC = "n1:"
"""Names format and version. What begins otherwise was written by another program, or by nobody."""

_PER_GROUP = 4, 3
"""Base64: so many characters for so many bytes."""


class Span(NamedTuple):
    """Offsets from `start` up to, and without, `stop`."""

    start: int
    stop: int


class Memory(NamedTuple):
    """What a holder of a partition wrote down for the next.

    `epoch`: as long as Redis is in it, Redis knows every send that was begun and is not in the map; "" where none was,
    whatever becomes of Redis. `complete_at` (ms): what had finished by then is in the offset or in `finished`.
    `in_hand`: how many records the holder had in line at most, `share`: how many of one user. `finished`: what needs
    nothing more, in order, in spans that do not touch. Offsets that were never delivered (compaction, transactions) may lie inside or outside of them.
    """

    epoch: str
    complete_at: int
    in_hand: int
    share: int
    finished: Sequence[Span]


def encode(memory: Memory, base: int, limit: int) -> tuple[str, bool]:
    """The text that goes with a commit of offset `base`, in at most `limit` characters, and whether all of it fits.

    What does not fit is left out from the end; where not even the head fits, the text is empty.
    """
    characters, octets = _PER_GROUP
    room = max(0, limit - len(MAGIC)) // characters * octets
    epoch = memory.epoch.encode()
    numbers = (memory.complete_at, memory.in_hand, memory.share)
    data = bytearray((*_varint(len(epoch)), *epoch, *(octet for number in numbers for octet in _varint(number))))
    if len(data) > room:
        return "", False
    for start, stop in memory.finished:
        run = (*_varint(start - base), *_varint(stop - start))
        if len(data) + len(run) > room:
            return _text(data), False
        data += bytes(run)
        base = stop
    return _text(data), True


def decode(text: str | None, base: int) -> Memory | None:
    """What was encoded for offset `base`; None for what `encode` did not write."""
    if not text or not text.startswith(MAGIC):
        return None
    try:
        data = base64.b64decode(text[len(MAGIC) :], validate=True)
        size, at = _read(data, 0)
        epoch = data[at : at + size].decode()
        complete_at, at = _read(data, at + size)
        in_hand, at = _read(data, at)
        share, at = _read(data, at)
        return Memory(epoch, complete_at, in_hand, share, tuple(_spans(data, at, base)))
    except (binascii.Error, UnicodeDecodeError, IndexError, ValueError):
        return None


def _text(data: bytearray) -> str:
    return MAGIC + base64.b64encode(data).decode()


def _spans(data: bytes, at: int, base: int) -> Iterator[Span]:
    """Runs follow one another: unfinished offsets since the last (0 only before the first), then finished ones."""
    first = True
    while at < len(data):
        gap, at = _read(data, at)
        length, at = _read(data, at)
        if not length or not (gap or first):
            raise ValueError("a run of no length")
        yield Span(base + gap, base + gap + length)
        base, first = base + gap + length, False


def _varint(number: int) -> Iterator[int]:
    """LEB128: seven bits a byte, the lowest first, the high bit where more follow."""
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _read(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next one begins."""
    number = shift = 0
    while True:
        octet = data[at]
        number |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:  # the high bit is not set
            return number, at
