"""Random ids, from the system's generator, many at a time: a system call for each costs more than the rest of an id."""

import os

ID_BYTES = 16
_AT_ONCE = 256


class RandomIds:
    """For one event loop of one process; not to be shared across a fork."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def hex(self) -> str:
        """32 hexadecimal digits."""
        if self._at == len(self._pool):
            self._pool, self._at = os.urandom(ID_BYTES * _AT_ONCE), 0
        at = self._at
        self._at = at + ID_BYTES
        return self._pool[at : at + ID_BYTES].hex()

    def uuid(self) -> str:
        """A UUIDv4 (RFC 9562)."""
        h = self.hex()
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"


_VARIANT = {digit: f"{int(digit, 16) & 3 | 8:x}" for digit in "0123456789abcdef"}
"""The two variant bits set in a hexadecimal digit."""
