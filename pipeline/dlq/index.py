"""The dead letters that a command is about, on disk: which are copies of one another, which units are over already."""

import sqlite3
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self

from pipeline.dlq.letters import DeadLetter, LetterUnit

# A nameless temporary SQLite database, as in pipeline.accounts.ledger: it keeps memory flat for a million dead letters.
_SETUP = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -8192;
CREATE TABLE chosen (topic TEXT, partition INT, "offset" INT, source TEXT, copy INT DEFAULT 0, PRIMARY KEY (topic, partition, "offset"));
CREATE TABLE handled (source TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE units (unit TEXT, chosen INT, outcome TEXT DEFAULT '');
"""
_CHOOSE = 'INSERT INTO chosen (topic, partition, "offset", source) VALUES (?, ?, ?, ?)'
_HANDLED = "INSERT OR IGNORE INTO handled VALUES (?)"
_UNIT = "INSERT INTO units (unit, chosen) VALUES (?, ?)"
_FINISH = """
CREATE INDEX by_source ON chosen (source);
CREATE INDEX by_unit ON units (unit);
CREATE INDEX by_chosen ON units (chosen);
UPDATE chosen SET copy = 1 WHERE source IN (SELECT source FROM handled)
    OR rowid NOT IN (SELECT min(rowid) FROM chosen GROUP BY source);
"""
_SETTLE = "UPDATE units SET outcome = ? WHERE unit = ?"
_FIND = 'SELECT rowid, copy FROM chosen WHERE topic = ? AND partition = ? AND "offset" = ?'
_OPEN_UNITS = "SELECT unit FROM units WHERE chosen = ? AND outcome = ''"
_ANY_UNIT = "SELECT count(*) FROM units WHERE chosen = ?"


class Entry(NamedTuple):
    """What is known of a chosen dead letter. `open_units`: those of its units that have no terminal outcome."""

    copy: bool
    settled: bool
    open_units: frozenset[str]


class Index:
    """Collect with `choose` and `note_handled`, then `finish`, `settle`, and `find`. Leaving it frees the disk."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SETUP + "BEGIN;")
        self.size = 0
        self.oldest: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def choose(self, letter: DeadLetter, units: Iterable[LetterUnit]) -> None:
        row = self._database.execute(_CHOOSE, (*letter.position, letter.source)).lastrowid
        self._database.executemany(_UNIT, [(unit.notification_id, row) for unit in units])
        self.size += 1
        self.oldest = letter.at if self.oldest is None else min(self.oldest, letter.at)

    def note_handled(self, letter: DeadLetter) -> None:
        """A copy of it that comes later is handled too."""
        self._database.execute(_HANDLED, (letter.source,))

    def finish(self) -> None:
        """All are chosen."""
        self._database.executescript(_FINISH)

    def settle(self, outcomes: Iterable[tuple[str, str]]) -> None:
        """Terminal outcomes: (status, notification id), of any notifications."""
        self._database.executemany(_SETTLE, outcomes)

    def find(self, letter: DeadLetter) -> Entry | None:
        """None if it was not chosen."""
        row = self._database.execute(_FIND, letter.position).fetchone()
        if row is None:
            return None
        number, copy = row
        open_units = frozenset(unit for (unit,) in self._database.execute(_OPEN_UNITS, (number,)))
        (units,) = self._database.execute(_ANY_UNIT, (number,)).fetchone()
        return Entry(bool(copy), bool(units) and not open_units, open_units)
