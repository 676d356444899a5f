"""How much may be under way at once: what is beyond it is refused at the door, so that memory stays bounded."""

from types import TracebackType

from prometheus_client import Gauge

from pipeline.gateway.problems import unavailable


class Admission:
    """Counts requests and the bytes of their bodies. Owned by one event loop."""

    def __init__(self, most: int, most_bytes: int, gauge: Gauge) -> None:
        self._free = most
        self._free_bytes = most_bytes
        gauge.set_function(lambda: most - self._free)

    def enter(self, size: int) -> "Room":
        """Set aside room for one request with a body of `size` bytes, until the context is left.

        Raises:
            Refused: 503, there is none.
        """
        if self._free < 1 or self._free_bytes < size:
            raise unavailable("Too many requests are under way.")
        self._free -= 1
        self._free_bytes -= size
        return Room(self, size)

    def leave(self, size: int) -> None:
        self._free += 1
        self._free_bytes += size


class Room:
    """What is set aside for one request. (A class: a generator's context costs three times as much.)"""

    __slots__ = ("_admission", "_size")

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission = admission
        self._size = size

    def __enter__(self) -> None:
        """Nothing to do: it is taken already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.leave(self._size)
