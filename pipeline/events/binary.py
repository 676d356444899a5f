"""Avro's binary encoding of the primitives (Avro 1.12, "Binary Encoding"), in plain Python.

Readers take the buffer and a position and return the value and the position after it. They raise `IndexError` where
the buffer ends, `ValueError` with what is wrong otherwise, and never allocate what a length merely promises.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_SIX_BYTES = range(1 << 35, 1 << 42)
"""Zig-zag values of six bytes: every time in milliseconds between 1970-07 and 2039-09."""


def read_long(buffer: bytes, position: int) -> tuple[int, int]:
    """A zig-zag variable-length integer of at most 64 bits."""
    value = shift = 0
    while shift < 64:
        byte = buffer[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                break
            return value >> 1 ^ -(value & 1), position
        shift += 7
    raise ValueError("holds an integer of more than 64 bits")


def read_size(buffer: bytes, position: int) -> tuple[int, int]:
    """The length of a string."""
    size, position = read_long(buffer, position)
    if size < 0:
        raise ValueError(f"declares a length of {size}")
    return size, position


def read_count(buffer: bytes, position: int) -> tuple[int, int]:
    """How many items the next block of an array has; 0 ends the array. A negative count is followed by a byte size."""
    count, position = read_long(buffer, position)
    if count < 0:
        _, position = read_long(buffer, position)
        count = -count
    return count, position


def pack_long(value: int) -> bytes:
    value = value << 1 ^ value >> 63
    if value in _SIX_BYTES:
        return bytes(
            (
                value & 127 | 128,
                value >> 7 & 127 | 128,
                value >> 14 & 127 | 128,
                value >> 21 & 127 | 128,
                value >> 28 & 127 | 128,
                value >> 35,
            )
        )
    packed = bytearray()
    while value > 127:
        packed.append(value & 127 | 128)
        value >>= 7
    packed.append(value)
    return bytes(packed)


SIZES: list[bytes] = [pack_long(size) for size in range(1024)]
"""Lengths of short strings, packed."""


def pack_text(text: str) -> bytes:
    data = text.encode()
    return pack_long(len(data)) + data


def pack_array(items: list[Item], pack: Callable[[Item], bytes]) -> bytes:
    if not items:
        return b"\0"
    packed: Iterable[bytes] = map(pack, items)
    return b"".join((pack_long(len(items)), *packed, b"\0"))
