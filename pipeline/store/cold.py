"""Files of the archive: one Parquet file a day and table, and a manifest beside it that says what must be in it.

``<url>/<dataset>/day=YYYY-MM-DD/rows.parquet`` and ``manifest.json``: the layout that DuckDB, Spark and Athena read as
partitioned by ``day``. A file gets its name only when it is complete, so a half-written one is in nobody's way.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, NamedTuple, get_type_hints

import msgspec

from pipeline.config import ArchiveSettings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.store.rows import EventRow, HistoryRow

ROWS_AT_ONCE = 20_000
"""Rows in memory at a time, and in one row group of a file."""

MANIFEST = "manifest.json"

Row = tuple[Any, ...]

SHAPES: dict[str, type[EventRow] | type[HistoryRow]] = {"status_events": EventRow, "history": HistoryRow}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. `digest`: SHA-256 of its rows, each a JSON array in a line. `fingerprint`: what
    PostgreSQL makes of the same rows in `columns`.
    """

    dataset: str
    day: date
    rows: int
    digest: str
    fingerprint: str
    columns: tuple[str, ...]


class Written(NamedTuple):
    rows: int
    digest: str


class _Digest:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._encoder = msgspec.json.Encoder()
        self.rows = 0

    def add(self, rows: list[Row]) -> None:
        self._hash.update(self._encoder.encode_lines(rows))
        self.rows += len(rows)

    def result(self) -> Written:
        return Written(self.rows, self._hash.hexdigest())


class ColdStore:
    """The files. Blocks; every method raises `Unavailable` when the storage does not answer or refuses."""

    def __init__(self, settings: ArchiveSettings) -> None:
        """Opens nothing yet.

        Raises:
            ConfigurationError: no or an unknown URL, or pyarrow is not installed.
        """
        if not settings.url:
            raise ConfigurationError("there is no archive: set PIPELINE_STORE__ARCHIVE__URL to s3://… or file://…")
        try:
            import pyarrow
            import pyarrow.fs
            import pyarrow.parquet
        except ImportError:
            raise ConfigurationError("the archive needs pyarrow: install notification-pipeline[archive]") from None
        self._arrow = pyarrow
        self._parquet = pyarrow.parquet
        self._fs = pyarrow.fs
        self._files, self._root = _open(pyarrow.fs, settings)

    def path(self, dataset: str, day: date, name: str = "rows.parquet") -> str:
        return f"{self._root}/{dataset}/day={day.isoformat()}/{name}"

    def write(self, dataset: str, day: date, chunks: Iterable[list[Row]]) -> Written:
        """Write a day's rows; what was there before is replaced in one go."""
        written = self.write_part(dataset, day, chunks)
        self.put_in_place(dataset, day)
        return written

    def days(self) -> list[tuple[str, date]]:
        """All that is archived: dataset and day."""
        found: list[tuple[str, date]] = []
        for dataset in SHAPES:
            selector = self._fs.FileSelector(f"{self._root}/{dataset}", allow_not_found=True)
            with _answering():
                names = [info.base_name for info in self._files.get_file_info(selector)]
            days = sorted(name.removeprefix("day=") for name in names if name.startswith("day="))
            found += [(dataset, date.fromisoformat(day)) for day in days if self._is_archived(dataset, day)]
        return found

    def write_part(self, dataset: str, day: date, chunks: Iterable[list[Row]]) -> Written:
        """Write a day's rows beside what is there; `put_in_place` replaces it."""
        digest, schema = _Digest(), self._schema(dataset)
        path = self.path(dataset, day)
        with _answering():
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            with (
                self._files.open_output_stream(path + ".part") as out,
                self._parquet.ParquetWriter(out, schema, compression="zstd") as writer,
            ):
                for rows in chunks:
                    digest.add(rows)
                    columns = zip(*rows, strict=True)
                    arrays = [self._arrow.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
                    writer.write_batch(self._arrow.record_batch(arrays, schema=schema))
        return digest.result()

    def put_in_place(self, dataset: str, day: date) -> None:
        with _answering():
            self._files.move(self.path(dataset, day) + ".part", self.path(dataset, day))

    def read(self, dataset: str, day: date) -> Iterator[list[Row]]:
        """The day's rows, some thousands at a time."""
        return self._read(self.path(dataset, day))

    def _read(self, path: str) -> Iterator[list[Row]]:
        with _answering(), self._files.open_input_file(path) as source:
            for batch in self._parquet.ParquetFile(source).iter_batches(ROWS_AT_ONCE):
                yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def measure(self, dataset: str, day: date) -> Written:
        """Read it all again."""
        return _measured(self.read(dataset, day))

    def measure_part(self, dataset: str, day: date) -> Written:
        """Read again what `write_part` wrote."""
        return _measured(self._read(self.path(dataset, day) + ".part"))

    def put_manifest(self, manifest: Manifest, name: str = MANIFEST) -> None:
        with _answering():
            path = self.path(manifest.dataset, manifest.day, name)
            with self._files.open_output_stream(path + ".part") as out:
                out.write(msgspec.json.encode(manifest))
            self._files.move(path + ".part", path)

    def manifest(self, dataset: str, day: date) -> Manifest:
        """What the day's file must hold.

        Raises:
            ConfigurationError: this day is not in the archive.
            Unavailable: the manifest cannot be read.
        """
        found = self.pending(dataset, day, MANIFEST)
        if found is None:
            path = self.path(dataset, day, MANIFEST)
            raise ConfigurationError(f"there is no {dataset} of {day} in the archive ({path})")
        return found

    def pending(self, dataset: str, day: date, name: str) -> Manifest | None:
        """A manifest under another name; None: there is none. Raises Unavailable as `manifest`."""
        path = self.path(dataset, day, name)
        try:
            with _answering(), self._files.open_input_file(path) as source:
                return msgspec.json.decode(source.read(), type=Manifest)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise Unavailable(f"{path} is damaged: {error}") from None

    def remove(self, dataset: str, day: date, name: str) -> None:
        with _answering():
            self._files.delete_file(self.path(dataset, day, name))

    def _is_archived(self, dataset: str, day: str) -> bool:
        return self.pending(dataset, date.fromisoformat(day), MANIFEST) is not None

    def _schema(self, dataset: str) -> Any:
        arrow = self._arrow
        instant = arrow.timestamp("ms", "UTC")
        types = {datetime: instant, str: arrow.string(), int: arrow.int32(), bool: arrow.bool_()}
        hints = get_type_hints(SHAPES[dataset])
        return arrow.schema([(name, types.get(hints[name], instant)) for name in SHAPES[dataset]._fields])


def _measured(chunks: Iterable[list[Row]]) -> Written:
    digest = _Digest()
    for rows in chunks:
        digest.add(rows)
    return digest.result()


def _open(fs: Any, settings: ArchiveSettings) -> tuple[Any, str]:
    """The file system and the path in it."""
    scheme, _, path = settings.url.partition("://")
    if scheme == "s3":
        return _s3(fs, settings), path.rstrip("/")
    if scheme not in {"file", "gs"}:
        raise ConfigurationError(f"store.archive.url {settings.url!r}: write s3://…, gs://… or file:///…")
    files, path = fs.FileSystem.from_uri(settings.url)
    return files, path.rstrip("/")


def _s3(fs: Any, settings: ArchiveSettings) -> Any:
    options: dict[str, Any] = {}
    if settings.endpoint:
        scheme, _, host = settings.endpoint.rpartition("://")
        options |= {"endpoint_override": host, "scheme": scheme or "https"}
    if settings.region:
        options["region"] = settings.region
    if (settings.access_key is None) != (settings.secret_key is None):
        raise ConfigurationError("store.archive: set access_key and secret_key together, or neither")
    if settings.access_key and settings.secret_key:
        options["access_key"] = settings.access_key.get_secret_value()
        options["secret_key"] = settings.secret_key.get_secret_value()
    return fs.S3FileSystem(**options)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, EOFError) as error:  # what pyarrow raises for every answer of a storage that is no success
        raise Unavailable(f"the archive cannot be reached or read: {error}") from error
