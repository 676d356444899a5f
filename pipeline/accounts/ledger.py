"""Brings the facts of each unit together, on disk: exact, and bounded in memory however long the topics are."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Self

from pipeline.accounts.facts import DecidedEvent, Fact, Saying

# SQLite serves as an external merge sorter: rows are appended to a nameless temporary database, which lies on disk
# (TMPDIR) and vanishes with its connection, then read once in order. Nothing in it outlives the run, so it needs no
# journal and never waits for the disk.
_SETUP = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -8192;
CREATE TABLE facts (notification_id TEXT, partition INT, "offset" INT, said INT, occurred_at INT, created_at INT);
CREATE TABLE events (partition INT, "offset" INT, what TEXT);
"""
_ADD_FACT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?)"
_ADD_EVENT = "INSERT INTO events VALUES (?, ?, ?)"
_UNITS = "SELECT * FROM facts ORDER BY notification_id"
_EVENTS = 'SELECT what, count(*) FROM (SELECT DISTINCT partition, "offset", what FROM events) GROUP BY what'


class Ledger:
    """Collects facts in any order and gives them back unit by unit. A context manager: leaving it frees the disk."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, cached_statements=8)
        self._database.executescript(_SETUP + "BEGIN;")
        self._number: dict[Saying, int] = {}
        self._said: list[Saying] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, facts: Iterable[Fact], events: Iterable[DecidedEvent] = ()) -> None:
        self._database.executemany(_ADD_FACT, map(self._row, facts))
        self._database.executemany(_ADD_EVENT, events)

    def units(self) -> Iterator[list[Fact]]:
        """All facts of one unit after the other, each unit once."""
        said = self._said
        for unit, rows in groupby(self._database.execute(_UNITS), key=itemgetter(0)):
            yield [Fact(unit, partition, at, said[number], *times) for _, partition, at, number, *times in rows]

    def events(self) -> dict[str, int]:
        """How many different ingest records were decided, by `DecidedEvent.what`."""
        return dict(self._database.execute(_EVENTS).fetchall())

    def _row(self, fact: Fact) -> tuple[str, int, int, int, int, int]:
        number = self._number.get(fact.said)
        if number is None:
            number = self._number[fact.said] = len(self._said)
            self._said.append(fact.said)
        return fact.notification_id, fact.partition, fact.offset, number, fact.occurred_at, fact.created_at
