"""Which dead letters have been replayed or dropped. Pure.

No record of a topic can be deleted by itself, so what an operator has dealt with is kept beside the dead-letter topics:
a bitmap for each page of `PAGE` offsets of a partition, as the last record of its key on the compacted topic
`pipeline.kafka.names.DLQ_HANDLED` (``docs/decisions/0035-handled-dead-letters-are-pages-of-bits.md``).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from pipeline.kafka.names import DLQ_HANDLED
from pipeline.kafka.producer import Record

PAGE = 8_192
"""Offsets of a page: 1 KiB of bits."""


class PageKey(NamedTuple):
    """Offsets ``number * PAGE`` up to the next page, of one partition of one dead-letter topic.

    `topic_id` is Kafka's: a topic that was deleted and made anew begins at offset 0 again, with records that nobody has
    handled.
    """

    topic: str
    partition: int
    number: int
    topic_id: str

    def encode(self) -> bytes:
        return f"{self.topic} {self.partition} {self.number} {self.topic_id}".encode()

    @classmethod
    def decode(cls, key: bytes | None) -> Self | None:
        """None where it is no key of ours."""
        match (key or b"").split(b" "):
            case [topic, partition, number, topic_id] if partition.isdigit() and number.isdigit():
                return cls(
                    topic.decode(errors="replace"), int(partition), int(number), topic_id.decode(errors="replace")
                )
        return None


class Handled:
    """The set of handled records of topics with these ids."""

    def __init__(self, topic_ids: Mapping[str, str]) -> None:
        self._topic_ids = topic_ids
        self._pages: dict[PageKey, int] = {}
        self._changed: set[PageKey] = set()

    def put(self, key: bytes | None, value: bytes | None) -> None:
        """What a record of the topic says; a later one of the same key takes the place of an earlier one."""
        page = PageKey.decode(key)
        if page is not None and page.topic_id == self._topic_ids.get(page.topic):
            self._pages[page] = int.from_bytes(value or b"", "little")

    def add(self, topic: str, partition: int, offset: int) -> None:
        number, bit = divmod(offset, PAGE)
        key = PageKey(topic, partition, number, self._topic_ids[topic])
        self._pages[key] = self._pages.get(key, 0) | 1 << bit
        self._changed.add(key)

    def __contains__(self, position: tuple[str, int, int]) -> bool:
        topic, partition, offset = position
        number, bit = divmod(offset, PAGE)
        key = PageKey(topic, partition, number, self._topic_ids.get(topic, ""))
        return bool(self._pages.get(key, 0) >> bit & 1)

    def count(self, topic: str, partition: int, low: int, end: int) -> int:
        """How many of the offsets from `low` up to `end` are in it."""
        return sum(
            _between(bits, low - key.number * PAGE, end - key.number * PAGE)
            for key, bits in self._pages.items()
            if key[:2] == (topic, partition)
        )

    def take_changes(self) -> Iterator[Record]:
        """The records that make the topic say what this set says."""
        changed, self._changed = sorted(self._changed), set()
        for key in changed:
            yield Record(DLQ_HANDLED, key.encode(), self._pages[key].to_bytes(PAGE // 8, "little"))


def _between(bits: int, low: int, end: int) -> int:
    """The bits set from `low` up to `end`."""
    low, end = max(0, low), min(PAGE, end)
    return (bits >> low & (1 << end - low) - 1).bit_count() if low < end else 0
