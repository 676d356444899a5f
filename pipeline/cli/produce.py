"""``pipeline produce``: canonical JSON lines to the ingest topic."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from pipeline.config import KafkaSettings, Settings
from pipeline.errors import ConfigurationError, TopologyError
from pipeline.events.canonical import CanonicalJson, InvalidEvent
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.registry import open_book
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.topology import missing_topics

CHUNK_BYTES = 65_536
SLICES_A_SECOND = 20
"""How finely a rate is kept."""

Line = tuple[int, bytes]
OnProgress = Callable[[int, int], None]
"""Told how many more bytes were read and events acknowledged."""


def produce(
    file: Annotated[str, typer.Argument(help="Events as canonical JSON, one a line; `-`: standard input.")],
    rate: Annotated[float, typer.Option(min=0, help="Events a second at most; 0: as fast as Kafka takes them.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print `{produced, rejected, seconds}`.")] = False,
) -> None:
    """Produce events to the ingest topic.

    Every good line is produced and acknowledged by all in-sync replicas. A bad line is told on stderr: its number,
    the place (JSON pointer), what to change; then the exit code is 1.
    """
    started = time.monotonic()
    with _opened(file) as stream, _progress_bar(stream) as on_progress:
        job = _Job(Settings.load().kafka, rate, on_progress)
        asyncio.run(job.run(stream))
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        typer.echo(json.dumps({"produced": job.produced, "rejected": job.rejected, "seconds": seconds}))
    else:
        typer.echo(f"produced {job.produced} events in {seconds} s, rejected {job.rejected} lines")
    if job.rejected:
        raise typer.Exit(1)


class _Job:
    """One run: what was produced and rejected so far."""

    def __init__(self, kafka: KafkaSettings, rate: float, on_progress: OnProgress) -> None:
        self._kafka = kafka
        self._rate = rate
        self._on_progress = on_progress
        self.produced = 0
        self.rejected = 0

    async def run(self, stream: BinaryIO) -> None:
        book = await open_book(self._kafka)
        codec, canonical = Codec.open(book), CanonicalJson(book.schema_of("NotificationRequested"))
        if await asyncio.to_thread(missing_topics, self._kafka, [INGEST]):
            raise TopologyError(f"the topic {INGEST} does not exist: run `pipeline topics apply`")
        started = time.monotonic()
        async with AsyncProducer(producer_config(self._kafka)) as producer:
            async for lines in _chunks(stream):
                for part in self._slices(lines):
                    events = [event for line in part if (event := self._read(canonical, line))]
                    await producer.send_all([_record(codec, event) for event in events])
                    self.produced += len(events)
                    self._on_progress(sum(len(text) + 1 for _, text in part), len(events))
                    await self._keep_rate(started)

    def _slices(self, lines: list[Line]) -> Iterator[list[Line]]:
        size = max(1, int(self._rate / SLICES_A_SECOND)) if self._rate else len(lines)
        return (lines[start : start + size] for start in range(0, len(lines), size or 1))

    def _read(self, canonical: CanonicalJson, line: Line) -> NotificationRequested | None:
        number, text = line
        if not text.strip():
            return None
        try:
            return canonical.parse(text)
        except InvalidEvent as error:
            self.rejected += 1
            for problem in error.problems:
                typer.echo(f"line {number}: {problem.pointer or 'the event'}: {problem.text}", err=True)
            return None

    async def _keep_rate(self, started: float) -> None:
        if self._rate:
            await asyncio.sleep(started + self.produced / self._rate - time.monotonic())


def _record(codec: Codec, event: NotificationRequested) -> Record:
    return Record(INGEST, event.recipient_id.encode(), codec.encode_event(event))


async def _chunks(stream: BinaryIO) -> AsyncIterator[list[Line]]:
    """Numbered lines, as many at once as there are to read: a slow pipe's lines are not held back."""
    rest, number = b"", 0
    while piece := await asyncio.to_thread(_read_some, stream):
        *lines, rest = (rest + piece).split(b"\n")
        yield [(number + offset, line) for offset, line in enumerate(lines, start=1)]
        number += len(lines)
    if rest:
        yield [(number + 1, rest)]


def _read_some(stream: BinaryIO) -> bytes:
    return cast("bytes", stream.read1(CHUNK_BYTES))  # type: ignore[attr-defined]  # both streams are buffered readers


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    if not Path(file).is_file():
        raise ConfigurationError(f"{file}: no such file")
    with Path(file).open("rb") as stream:
        yield stream


@contextlib.contextmanager
def _progress_bar(stream: BinaryIO) -> Iterator[OnProgress]:
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.fields[events]} events"), TimeElapsedColumn())
    size = Path(stream.name).stat().st_size if stream is not sys.stdin.buffer else None
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("produce", total=size, events=0)
        events = 0

        def advance(more_bytes: int, more_events: int) -> None:
            nonlocal events
            events += more_events
            progress.update(task, advance=more_bytes, events=events)

        yield advance
