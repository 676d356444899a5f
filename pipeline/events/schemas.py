"""Which schema an id means, and under which id each record is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pipeline.events.releases import AvroSchema, read_lock, read_release
from pipeline.resources import resource_dir


class SchemaBook:
    """Which schema an id means, and under which id each record is written now.

    `learn` asks whoever gives out the ids about one that is not here; the lock file has nobody to ask.
    """

    def __init__(self, current: Mapping[str, int], schemas: Mapping[int, AvroSchema]) -> None:
        """`current`: record name → id; `schemas`: id → schema, at least those of `current`."""
        self._current = dict(current)
        self._schemas = dict(schemas)

    @classmethod
    def from_lock(cls, folder: Path | None = None) -> Self:
        """The book of the releases in `folder` (default: the ones that ship with this package).

        Raises:
            ConfigurationError: the lock file or a released schema is missing, broken or was changed by hand.
        """
        folder = folder or resource_dir("avro")
        lock = read_lock(folder)
        schemas = {
            release.id: read_release(folder, record, release)
            for record, releases in lock.schemas.items()
            for release in releases
        }
        return cls({record: releases[-1].id for record, releases in lock.schemas.items()}, schemas)

    def id_of(self, record: str) -> int:
        """The id that `record` is written under now."""
        return self._current[record]

    def schema_of(self, record: str) -> AvroSchema:
        """The schema that `record` is written with now."""
        return self._schemas[self._current[record]]

    def schema(self, schema_id: int) -> AvroSchema | None:
        return self._schemas.get(schema_id)

    async def learn(self, schema_id: int) -> bool:
        """Whether the id is known, after asking where one can ask.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        return schema_id in self._schemas
