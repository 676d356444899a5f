"""Events whose user cannot be looked up now: they wait here, and the events of others pass them. Pure."""

from collections.abc import Collection, Iterable

from pipeline.routing.incoming import Incoming


class Lobby:
    """Waiting events, each user's in the order in which they came.

    What is decided of one user says nothing of another, so passing changes no decision. An event whose user is found
    still waits behind those of its user that wait already.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Incoming]] = {}
        self._critical: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def is_waiting(self, user_id: str, *, critical: bool = False) -> bool:
        """Whether an event of this user waits; `critical`: one that is."""
        return user_id in (self._critical if critical else self._waiting)

    def add(self, event: Incoming, *, critical: bool) -> None:
        user_id = event.event.recipient_id
        self._waiting.setdefault(user_id, []).append(event)
        if critical:
            self._critical.add(user_id)

    def take_all(self) -> list[Incoming]:
        """Everything; the lobby is empty then."""
        events = [event for waiting in self._waiting.values() for event in waiting]
        self._replace(())
        return events

    def drop(self, partitions: Collection[int]) -> None:
        """Somebody else has these partitions, and will read their events again."""
        self._replace(
            (event, event.event.recipient_id in self._critical)
            for waiting in self._waiting.values()
            for event in waiting
            if event.partition not in partitions
        )

    def first_offsets(self) -> dict[int, int]:
        """The lowest offset that waits, for each partition of which any does: nothing from there on may be committed."""
        first: dict[int, int] = {}
        for waiting in self._waiting.values():
            for event in waiting:
                first[event.partition] = min(event.offset, first.get(event.partition, event.offset))
        return first

    def _replace(self, events: Iterable[tuple[Incoming, bool]]) -> None:
        kept = list(events)
        self._waiting, self._critical = {}, set()
        for event, critical in kept:
            self.add(event, critical=critical)
