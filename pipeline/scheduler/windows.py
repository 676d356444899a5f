"""Which digest an item joins, and when that is due. Pure. Times are milliseconds: the router's, when it decided.

Items come in the order of their topic, so equal times and equal everything else say nothing: an item is its
notification id, and joins one digest once.
"""

import uuid
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.catalogue.model import Digest, DigestMode

LARGEST = 2_000
"""Items of one digest at most: it is settled in one transaction. The next item opens another."""


class Item(NamedTuple):
    """One notification to collect, decided at `at`."""

    notification_id: str
    at: int


class Window(NamedTuple):
    """One digest as it collects. Only a `joinable` one takes items; one that is not may still wait to be due."""

    digest_id: uuid.UUID
    opened_at: int
    due_at: int
    items: int
    joinable: bool


class Folded(NamedTuple):
    """Windows that changed, older first, at most the last of them joinable; and the digest of each item."""

    windows: list[Window]
    digest_of: dict[str, uuid.UUID]


def fold(window: Window | None, items: Iterable[Item], spec: Digest) -> Folded:
    """Let items join, in order; `window` is the joinable one of their key, if there is one."""
    closed: list[Window] = []
    digest_of: dict[str, uuid.UUID] = {}
    for item in items:
        if window is not None and (not window.joinable or item.at >= window.due_at):
            closed.append(window._replace(joinable=False))
            window = None
        window = _joined(window or _opened(item, spec), item, spec)
        digest_of[item.notification_id] = window.digest_id
    return Folded([*closed, window] if window else closed, digest_of)


def _opened(item: Item, spec: Digest) -> Window:
    """The id follows from the first item, so that whoever opens it again opens the same."""
    return Window(_digest_id(item), item.at, item.at + spec.window, 0, joinable=True)


def _joined(window: Window, item: Item, spec: Digest) -> Window:
    due, count = window.due_at, window.items + 1
    if spec.mode is DigestMode.SLIDING:
        due = min(max(due, item.at + spec.window), window.opened_at + spec.longest)
    if spec.flush_at is not None and count >= spec.flush_at:
        return window._replace(items=count, due_at=min(due, item.at), joinable=False)
    return window._replace(items=count, due_at=due, joinable=count < LARGEST)


def _digest_id(item: Item) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"digest {item.notification_id} {item.at}")
