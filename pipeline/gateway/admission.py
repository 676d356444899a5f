"""How much may be under way at once: what is beyond it is refused at the door, so that memory stays bounded."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from pipeline.gateway.problems import unavailable


class Admission:
    """Counts requests and the bytes of their bodies. Owned by one event loop."""

    def __init__(self, most: int, most_bytes: int, gauge: Gauge) -> None:
        self._free = most
        self._free_bytes = most_bytes
        self._gauge = gauge

    @contextmanager
    def enter(self, size: int) -> Iterator[None]:
        """Set aside room for one request with a body of `size` bytes.

        Raises:
            Refused: 503, there is none.
        """
        if self._free < 1 or self._free_bytes < size:
            raise unavailable("Too many requests are under way.")
        self._free -= 1
        self._free_bytes -= size
        self._gauge.inc()
        try:
            yield
        finally:
            self._free += 1
            self._free_bytes += size
            self._gauge.dec()
