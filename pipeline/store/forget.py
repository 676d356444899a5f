"""Takes users out of archived days: each file that names them is written anew without them, verified, and replaced.

Beside the file lies ``erasing.json``, what the manifest will be, from before the file is replaced until the manifest is:
whoever comes after a crash finds by the file's own digest which of the two it is, and goes on from there.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from pipeline.config import ArchiveSettings
from pipeline.errors import Unavailable
from pipeline.privacy.search import pattern
from pipeline.store.archive import Connection, connect, contents, copy_rows, filled, statement
from pipeline.store.cold import SHAPES, ColdStore, Manifest, Row, Written

PENDING = "erasing.json"


class Forgotten(NamedTuple):
    """Rows taken out, of how many files; and the files (``dataset/day``) in which something is left."""

    rows: int
    files: int
    left: list[str]


def forget(dsn: str, settings: ArchiveSettings, user_ids: Collection[str], needles: Collection[str]) -> Forgotten:
    """Take these users out of all files, then look for `needles` in them. Blocks; reads the whole archive twice.

    Raises:
        Unavailable: PostgreSQL or the storage does not answer, the archive is being written, or a file is damaged.
        ConfigurationError: there is no archive.
    """
    files, rows, written, left = ColdStore(settings), 0, 0, list[str]()
    wanted = pattern(needles)
    with connect(dsn) as connection:
        if connection.execute(statement("archive_lock")).fetchone() != (True,):
            raise Unavailable("the archive is being written by another process: run it again when that is done")
        for dataset, day in files.days():
            gone = _Day(connection, files, dataset, day).without(frozenset(user_ids))
            rows, written = rows + gone, written + bool(gone)
            if any(wanted.search(_text(row)) for chunk in files.read(dataset, day) for row in chunk):
                left.append(f"{dataset}/{day}")
    return Forgotten(rows, written, left)


class _Day:
    """One file, and its manifest."""

    def __init__(self, connection: Connection, files: ColdStore, dataset: str, day: date) -> None:
        self._connection = connection
        self._files = files
        self._dataset = dataset
        self._day = day
        self._recipient = SHAPES[dataset]._fields.index("recipient_id")

    def without(self, users: frozenset[str]) -> int:
        """Rows that were taken out."""
        manifest = self._settled()
        mine = [row for rows in self._rows() for row in rows if row[self._recipient] in users]
        if not mine:
            return 0
        removed = self._fingerprint(mine, manifest.columns)
        kept = ([row for row in rows if row[self._recipient] not in users] for rows in self._rows())
        part = self._files.write_part(self._dataset, self._day, (rows for rows in kept if rows))
        if part.rows != manifest.rows - len(mine) or self._files.measure_part(self._dataset, self._day) != part:
            raise Unavailable(
                f"{self._files.path(self._dataset, self._day)} is damaged, or was not written as it should"
            )
        new = msgspec.structs.replace(
            manifest,
            rows=part.rows,
            digest=part.digest,
            fingerprint=str(Decimal(manifest.fingerprint) - removed),
        )
        self._files.put_manifest(new, PENDING)
        self._files.put_in_place(self._dataset, self._day)
        self._settle(new)
        return len(mine)

    def _settled(self) -> Manifest:
        """The manifest of the file as it is, after whatever a crash has left."""
        manifest = self._files.manifest(self._dataset, self._day)
        pending = self._files.pending(self._dataset, self._day, PENDING)
        if pending is None:
            return manifest
        if self._files.measure(self._dataset, self._day) == Written(pending.rows, pending.digest):
            self._settle(pending)
            return pending
        self._files.remove(self._dataset, self._day, PENDING)
        return manifest

    def _settle(self, manifest: Manifest) -> None:
        """The manifest that fits the file goes in; then what PostgreSQL knows of the day."""
        self._files.put_manifest(manifest)
        self._connection.execute(
            statement("note_forgotten"), (manifest.rows, manifest.fingerprint, self._dataset, self._day)
        )
        self._files.remove(self._dataset, self._day, PENDING)

    def _rows(self) -> Iterator[list[Row]]:
        return self._files.read(self._dataset, self._day)

    def _fingerprint(self, rows: Sequence[Row], columns: tuple[str, ...]) -> Decimal:
        """What these rows contribute to the day's: it is a sum over the rows."""
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(filled("create_forgotten", dataset=self._dataset))
            copy_rows(self._connection, "forgotten", columns, list(rows))
            return Decimal(contents(self._connection, "forgotten", columns).fingerprint)


def _text(row: Row) -> bytes:
    return " ".join(value for value in row if isinstance(value, str)).encode()
