"""Checks the schema files against what was released, and releases them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fastavro
import msgspec

from pipeline.errors import IncompatibleSchema
from pipeline.events.compatibility import full
from pipeline.events.releases import (
    LOCK_FILE,
    AvroSchema,
    Lock,
    Release,
    compact,
    fingerprint,
    read_lock,
    read_release,
    read_schema,
    release_path,
    write_lock,
)

EVENT = "NotificationRequested"
CARRIERS = ("Dispatch", "Deferred")
"""Records whose last field is the event, as `EVENT`'s own file describes it."""


class Finding(NamedTuple):
    """Something that is wrong with a schema file: which field (a dotted path, "" is the whole), what to change.

    `releasable`: `pipeline schemas release` puts it right.
    """

    file: str
    at: str
    text: str
    releasable: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.at}: {self.text}" if self.at else f"{self.file}: {self.text}"


def check(folder: Path, subjects: dict[str, str]) -> list[Finding]:
    """Everything that is wrong with the schema files in `folder`; empty: they are released and compatible.

    `subjects`: what the topics' files say, subject → record.

    Raises:
        ConfigurationError: a file is missing or broken.
    """
    lock = read_lock(folder)
    schemas = {path.stem: read_schema(path) for path in sorted(folder.glob("*.avsc"))}
    findings = [
        finding for record, schema in schemas.items() for finding in _check_record(folder, lock, record, schema)
    ]
    findings += _check_carriers(schemas)
    findings += [
        Finding(f"{record}.avsc", "", "was released, and is gone: take it from version control")
        for record in lock.schemas
        if record not in schemas
    ]
    if lock.subjects != subjects:
        text = "its subjects are not those of topics/*.yaml: run `pipeline schemas release`"
        findings.append(Finding(LOCK_FILE, "", text, releasable=True))
    return findings


def release(folder: Path, subjects: dict[str, str]) -> list[str]:
    """Add the schema files that changed as new versions; returns their names (``Dispatch/2``).

    Raises:
        IncompatibleSchema: readers or writers in the field could not follow; nothing was released.
    """
    blocking = [finding for finding in check(folder, subjects) if not finding.releasable]
    if blocking:
        raise IncompatibleSchema("\n".join(map(str, blocking)))
    lock = read_lock(folder)
    next_id = max((r.id for releases in lock.schemas.values() for r in releases), default=0) + 1
    added: list[str] = []
    for path in sorted(folder.glob("*.avsc")):
        releases = lock.schemas.setdefault(path.stem, [])
        schema = read_schema(path)
        if releases and releases[-1].fingerprint == fingerprint(schema):
            continue
        new = Release(len(releases) + 1, next_id + len(added), fingerprint(schema))
        target = release_path(folder, path.stem, new.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        releases.append(new)
        added.append(f"{path.stem}/{new.version}")
    write_lock(folder, msgspec.structs.replace(lock, subjects=subjects))
    return added


def _check_record(folder: Path, lock: Lock, record: str, schema: AvroSchema) -> Iterator[Finding]:
    file = f"{record}.avsc"
    try:
        fastavro.parse_schema(dict(schema))
    except fastavro.schema.SchemaParseException as error:
        yield Finding(file, "", f"is no Avro schema: {error}")
        return
    releases = lock.schemas.get(record, [])
    broken = [
        Finding(file, at, f"{text} (against version {old.version})")
        for old in releases
        for at, text in full(schema, read_release(folder, record, old))
    ]
    yield from broken
    if not broken and (not releases or releases[-1].fingerprint != fingerprint(schema)):
        yield from _unreleased(file, schema, read_release(folder, record, releases[-1]) if releases else None)


def _unreleased(file: str, schema: AvroSchema, newest: AvroSchema | None) -> Iterator[Finding]:
    if newest is None:
        yield Finding(file, "", "was never released: run `pipeline schemas release`", releasable=True)
        return
    before = {field["name"]: compact(field) for field in newest["fields"]}
    after = {field["name"]: compact(field) for field in schema["fields"]}
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    for at in changed or [""]:
        yield Finding(file, at, "differs from its newest release: run `pipeline schemas release`", releasable=True)


def _check_carriers(schemas: dict[str, AvroSchema]) -> Iterator[Finding]:
    """The splice of an event's bytes into a carrier is right only where the carrier ends with the same event."""
    for record in CARRIERS:
        last = schemas[record]["fields"][-1] if record in schemas else None
        if last is None or EVENT not in schemas:
            continue
        if last["name"] != "event" or _layout(last["type"]) != _layout(schemas[EVENT]):
            text = f"must be the last field and have the same fields as {EVENT}.avsc, in the same order"
            yield Finding(f"{record}.avsc", "event", text)


def _layout(schema: AvroSchema) -> list[str]:
    return [field["name"] for field in schema["fields"]]
