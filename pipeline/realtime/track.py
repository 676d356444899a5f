"""What one client has had and what it gets next: no gap, no repeat, in the order of places. Pure."""

from collections import deque
from collections.abc import Sequence

from pipeline.realtime.messages import Frame

EVERYTHING = 2**63
"""Beyond any place: who wants to know about it reads the inbox to its end."""


class Track:
    """Merges what is published with what the inbox holds.

    Whatever has a place is in the inbox before it is published, with everything that comes before it. So a frame that
    is not the next one says that the inbox has what is missing; and one that finds no room is left to the inbox too. A
    frame without a place is nowhere else: when it finds no room the client is too slow, and `overflowed`.

    `last` is the place of the last frame given out or in line; None: not known, the next frame sets it.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.last: int | None = None
        self.overflowed = False
        self._most = most
        self._most_bytes = most_bytes
        self._line: deque[Frame] = deque()
        self._bytes = 0
        self._missing = 0
        self._given_out = 0
        self._asked = 0

    @property
    def behind(self) -> bool:
        """Whether the inbox is to be read from `last` on."""
        return self.last is not None and self._missing > self.last

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._line) or self.behind or self.overflowed

    def begin(self, after: int) -> None:
        """All after that place is wanted. What is in line came before the client was told so, and is in the inbox."""
        self._missing = max(self._missing, *(frame.place or 0 for frame in self._line), 0)
        kept = [frame for frame in self._line if frame.place is None]
        self._line.clear()
        self._bytes = 0
        self.last = after
        for frame in kept:
            self._append(frame)

    def offer(self, frame: Frame) -> None:
        """A frame was published."""
        place = frame.place
        if place is None:
            if self._has_room(frame):
                self._append(frame)
            else:
                self.overflowed = True
        elif self.last is not None and place <= self.last:
            return
        elif self.behind or (self.last is not None and place > self.last + 1) or not self._has_room(frame):
            self._missing = max(self._missing, place)
        else:
            self.last = place
            self._append(frame)

    def suspect(self, place: int | None = None) -> None:
        """Something may have been published that was not heard. `place`: so many places were given out."""
        self._missing = EVERYTHING
        self._given_out = max(self._given_out, place or 0)

    def take(self) -> list[Frame]:
        """All that is in line, in order. To be given out before the inbox is read."""
        frames = list(self._line)
        self._line.clear()
        self._bytes = 0
        return frames

    def ask(self) -> int:
        """The inbox is read from `last` on, now; the answer is to be given back to `answered` or `failed`."""
        claim, self._missing = self._missing, 0
        self._asked = self._given_out
        return claim

    def answered(self, claim: int, frames: Sequence[Frame], *, more: bool) -> None:
        """What came after `last` when `ask` was called. `more`: there may be more than these."""
        for frame in frames:
            assert frame.place is not None
            if self.last is None or frame.place > self.last:
                self.last = frame.place
                self._append(frame)
        if more:
            self._missing = max(self._missing, claim)
        elif self.last is not None:  # places whose entries are gone are no gap
            self.last = max(self.last, self._asked)

    def failed(self, claim: int) -> None:
        """The inbox could not be read; it is still to be."""
        self._missing = max(self._missing, claim)

    def _has_room(self, frame: Frame) -> bool:
        return not self._line or (len(self._line) < self._most and self._bytes + len(frame.data) <= self._most_bytes)

    def _append(self, frame: Frame) -> None:
        self._line.append(frame)
        self._bytes += len(frame.data)
