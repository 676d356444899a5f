"""Moves old days from PostgreSQL to files, verified before anything is dropped; and brings them back.

Of each day and table ``store_archives`` says how far it is; whoever comes after a crash goes on from there:

============  ========================================  ==================================================
state         what is where                             what comes next
============  ========================================  ==================================================
(no row)      all in PostgreSQL                         note `exporting`
exporting     all in PostgreSQL; a file may be partial  write the file, read it again, write the manifest, note `verified`
verified      all in PostgreSQL and in the file         read the file again; drop the partition and note `dropped`, at once
dropped       all in the file                           nothing; rows that come late: load the file beside them, `exporting`
============  ========================================  ==================================================

The partition is dropped in a transaction that keeps writers out and finds in it exactly what the file holds.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

import psycopg
from psycopg import sql as query
from psycopg.rows import TupleRow

from pipeline.config import ArchiveSettings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.storage.scripts import sql
from pipeline.store.cold import ROWS_AT_ONCE, SHAPES, ColdStore, Manifest, Row

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[TupleRow]

_OPTIONS = "-c timezone=UTC -c datestyle=ISO -c lock_timeout=5s"


class Done(NamedTuple):
    """A day of a table that is in the archive alone now."""

    dataset: str
    day: date
    rows: int


class Contents(NamedTuple):
    """What PostgreSQL says of rows: how many, and a sum over a hash of each."""

    rows: int
    fingerprint: str


class Archive:
    """Blocks. `step` is told the name of each step before it is taken."""

    def __init__(self, dsn: str, settings: ArchiveSettings, step: Callable[[str], None] = lambda _: None) -> None:
        """Raises ConfigurationError: see `ColdStore`."""
        self._dsn = dsn
        self._files = ColdStore(settings)
        self._step = step

    def run(self, before: date) -> Iterator[Done]:
        """Archive and drop every day before `before`, oldest first. Nothing, if another process is at it.

        Raises:
            Unavailable: PostgreSQL or the storage does not answer, or the storage does not give back what was written.
        """
        with connect(self._dsn) as connection:
            if connection.execute(statement("archive_lock")).fetchone() != (True,):
                logger.info("another process is archiving")
                return
            for dataset in SHAPES:
                _place_late_rows(connection, dataset, before)
            for dataset, day in connection.execute(statement("days_to_archive"), (before,)).fetchall():
                if (done := self._archive(connection, dataset, day)) is not None:
                    yield done

    def restore(self, dataset: str, day: date) -> tuple[str, int]:
        """Load a day into a table of its own, and return its name and rows. The archive keeps the file.

        Raises:
            ConfigurationError: the day is not in the archive, or the table is there and holds something else.
            Unavailable: PostgreSQL or the storage does not answer, or the file is not what the manifest says.
        """
        manifest = self._files.manifest(dataset, day)
        table = f"restored_{_partition(dataset, day)}"
        with connect(self._dsn) as connection, connection.transaction():
            if _exists(connection, table):
                if contents(connection, table, manifest.columns) != (manifest.rows, manifest.fingerprint):
                    raise ConfigurationError(f"table {table} is there and differs from the archive: drop it first")
                return table, manifest.rows
            connection.execute(filled("create_restored", table=table, dataset=dataset))
            for rows in self._files.read(dataset, day):
                copy_rows(connection, table, manifest.columns, rows)
            if contents(connection, table, manifest.columns) != (manifest.rows, manifest.fingerprint):
                raise Unavailable(f"the archive's {dataset} of {day} is damaged: it is not what its manifest says")
        return table, manifest.rows

    def _archive(self, connection: Connection, dataset: str, day: date) -> Done | None:
        state = _noted(connection, dataset, day)[0]
        if state == "dropped":
            self._step("reload")
            self._reload(connection, dataset, day)
            state = "exporting"
        if state == "verified" and not self._is_intact(dataset, day):
            state = "exporting"
        if state != "verified":
            self._export(connection, dataset, day)
        self._step("drop")
        return self._drop(connection, dataset, day)

    def _export(self, connection: Connection, dataset: str, day: date) -> None:
        self._step("note exporting")
        _note(connection, dataset, day, "exporting")
        columns = SHAPES[dataset]._fields
        with connection.transaction():
            connection.execute(statement("as_of_now"))
            found = contents(connection, _partition(dataset, day), columns)
            self._step("write")
            written = self._files.write(dataset, day, _rows(connection, dataset, day))
        self._step("verify")
        if written.rows != found.rows or self._files.measure(dataset, day) != written:
            raise Unavailable(f"the archive does not give back what was written: {self._files.path(dataset, day)}")
        self._step("write manifest")
        self._files.put_manifest(
            Manifest(
                dataset=dataset,
                day=day,
                rows=found.rows,
                digest=written.digest,
                fingerprint=found.fingerprint,
                columns=columns,
            )
        )
        self._step("note verified")
        _note(connection, dataset, day, "verified", found)

    def _is_intact(self, dataset: str, day: date) -> bool:
        try:
            manifest = self._files.manifest(dataset, day)
            return self._files.measure(dataset, day) == (manifest.rows, manifest.digest)
        except (ConfigurationError, FileNotFoundError):
            return False

    def _drop(self, connection: Connection, dataset: str, day: date) -> Done | None:
        """None: rows came in since; the day is archived afresh another time."""
        table, columns = _partition(dataset, day), SHAPES[dataset]._fields
        with connection.transaction():
            connection.execute(filled("lock_partition", table=table))
            found = contents(connection, table, columns)
            if _noted(connection, dataset, day) != ("verified", *found):
                _note(connection, dataset, day, "exporting")
                logger.info("%s changed while it was archived; it stays for now", table)
                return None
            connection.execute(filled("drop_partition", table=table))
            _note(connection, dataset, day, "dropped", found)
        logger.info("archived %d rows of %s, and dropped it", found.rows, table)
        return Done(dataset, day, found.rows)

    def _reload(self, connection: Connection, dataset: str, day: date) -> None:
        """Put the archived rows beside those that came late, so that one file will hold both, none twice."""
        with connection.transaction():
            for rows in self._files.read(dataset, day):
                _merge(connection, dataset, rows)
            _note(connection, dataset, day, "exporting")


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """A connection whose texts of times are those that the fingerprints are made of.

    Raises:
        Unavailable: PostgreSQL does not answer, or others use what is to be archived.
        ConfigurationError: it has no tables yet.
    """
    try:
        with psycopg.connect(dsn, autocommit=True, options=_OPTIONS, cursor_factory=psycopg.RawCursor) as opened:
            opened.server_cursor_factory = psycopg.RawServerCursor
            yield opened
    except psycopg.errors.UndefinedTable as error:
        raise ConfigurationError(f"{error}: run `pipeline migrate` first") from error
    except (psycopg.OperationalError, psycopg.errors.DeadlockDetected) as error:
        raise Unavailable(f"PostgreSQL does not answer, or others use what is to be archived: {error}") from error


def _partition(dataset: str, day: date) -> str:
    return f"{dataset}_{day:%Y%m%d}"


def statement(name: str) -> query.SQL:
    return query.SQL(sql(name))


def filled(name: str, columns: query.Composable | None = None, **names: str) -> query.Composed:
    """A statement with names of tables, and perhaps a list of columns, filled in."""
    return statement(name).format(
        columns=columns or query.SQL(""), **{k: query.Identifier(v) for k, v in names.items()}
    )


def _list(columns: tuple[str, ...]) -> query.Composed:
    return query.SQL(", ").join(map(query.Identifier, columns))


def _exists(connection: Connection, table: str) -> bool:
    return connection.execute(statement("table_exists"), (table,)).fetchone() == (True,)


def _noted(connection: Connection, dataset: str, day: date) -> tuple[str | None, int | None, str | None]:
    """State, rows, fingerprint."""
    state, rows, fingerprint = connection.execute(statement("archive_state"), (dataset, day)).fetchone() or (None,) * 3
    return state, rows, fingerprint


def _note(connection: Connection, dataset: str, day: date, state: str, contents: Contents | None = None) -> None:
    connection.execute(statement("note_archive"), (dataset, day, state, *(contents or (None, None))))


def contents(connection: Connection, table: str, columns: tuple[str, ...]) -> Contents:
    """Of named columns, so that a table that has got another one since compares equal."""
    found = connection.execute(filled("rows_contents", _list(columns), table=table)).fetchone()
    assert found is not None
    return Contents(*found)


def _rows(connection: Connection, dataset: str, day: date) -> Iterator[list[Row]]:
    names = SHAPES[dataset]._fields
    uuid = query.SQL("notification_id::text")
    columns = query.SQL(", ").join(uuid if n == "notification_id" else query.Identifier(n) for n in names)
    with connection.cursor(name="archive") as cursor:
        cursor.execute(filled(f"read_{dataset}", columns, table=_partition(dataset, day)))
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield rows


def copy_rows(connection: Connection, table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(filled("copy_rows", _list(columns), table=table)) as copy:
        for row in rows:
            copy.write_row(row)


def _place_late_rows(connection: Connection, dataset: str, before: date) -> None:
    """Give a day of their own to rows whose day is archived already, or was never made."""
    for (day,) in connection.execute(statement(f"late_{dataset}"), (before,)).fetchall():
        connection.execute(statement("add_store_day"), (dataset, day))


def _merge(connection: Connection, dataset: str, rows: list[Row]) -> None:
    staged = {"history": "history", "status_events": "statuses"}[dataset]
    connection.execute(statement(f"stage_{staged}"))
    connection.execute(statement(f"empty_staged_{staged}"))
    copy_rows(connection, f"staged_{staged}", SHAPES[dataset]._fields, rows)
    connection.execute(statement(f"merge_staged_{staged}"))
