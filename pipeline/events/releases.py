"""The released schemas and their ids: the lock file ``avro/schemas.lock.json`` and the texts in ``avro/released/``.

A release is for ever: `pipeline schemas release` adds one, nothing changes or removes one, and so every record that
was ever written stays readable.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import fastavro
import msgspec

from pipeline.errors import ConfigurationError

AvroSchema = Mapping[str, Any]
"""An Avro schema as the JSON that it is."""

LOCK_FILE = "schemas.lock.json"


class Release(msgspec.Struct, frozen=True):
    """One version of one record's schema that writers in the field may use.

    `id` is what the record header carries where no registry gives ids. `fingerprint` is the SHA-256 of the schema's
    compact JSON, documentation and limits included.
    """

    version: int
    id: int
    fingerprint: str


class Lock(msgspec.Struct, frozen=True):
    """The lock file. `subjects`: subject → record. `schemas`: record → releases, oldest first."""

    subjects: dict[str, str]
    schemas: dict[str, list[Release]]


def fingerprint(schema: AvroSchema) -> str:
    return "sha256:" + hashlib.sha256(compact(schema).encode()).hexdigest()


def expand(schema: AvroSchema) -> dict[str, Any]:
    """The schema with every named type written out where it is used."""
    return cast("dict[str, Any]", fastavro.schema.expand_schema(dict(schema)))


def compact(schema: AvroSchema) -> str:
    """The schema as registries take it: one line of JSON."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def read_schema(path: Path) -> AvroSchema:
    try:
        schema = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{path} does not hold a record schema")
    return schema


def read_lock(folder: Path) -> Lock:
    path = folder / LOCK_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}: take the file from version control") from None
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path}: {error}: take the file from version control") from None


def write_lock(folder: Path, lock: Lock) -> None:
    text = msgspec.json.format(msgspec.json.encode(lock), indent=2)
    (folder / LOCK_FILE).write_bytes(text + b"\n")


def release_path(folder: Path, record: str, version: int) -> Path:
    return folder / "released" / record / f"{version}.avsc"


def read_release(folder: Path, record: str, release: Release) -> AvroSchema:
    path = release_path(folder, record, release.version)
    schema = read_schema(path)
    if fingerprint(schema) != release.fingerprint:
        raise ConfigurationError(f"{path} was changed after its release: take the file from version control")
    return schema
