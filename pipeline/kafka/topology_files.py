"""Topics as code: reads ``topics/*.yaml``.

``defaults.yaml`` holds what every topic shares. Each other file holds what its topics share, and the list of them; a
topic of the list may override anything. ``{a,b}`` in a name stands for one topic each, as in a shell.
"""

import itertools
import re
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from pipeline.errors import ConfigurationError
from pipeline.resources import resource_dir

Settings = dict[str, str]


class Topic(NamedTuple):
    """One topic as it should be. `schema` names the record of its values, None where values have no one schema."""

    name: str
    partitions: int
    replication_factor: int
    settings: Settings
    schema: str | None
    description: str


class _Shared(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What can be said for all topics, for a file's, for one."""

    partitions: int | None = None
    replication_factor: int | None = None
    schema: str | None = None
    settings: dict[str, str | int | bool] = {}


SharedT = TypeVar("SharedT", bound=_Shared)


class _Entry(_Shared, forbid_unknown_fields=True, kw_only=True):
    name: str
    description: str


class _File(_Shared, forbid_unknown_fields=True, kw_only=True):
    topics: list[_Entry]


def load_topics(folder: Path | None = None) -> list[Topic]:
    """Every topic of the files in `folder` (default: the ones that ship with this package), in order of their names.

    Raises:
        ConfigurationError: a file does not say what it should; names file and key.
    """
    folder = folder or resource_dir("topics")
    defaults = _read(folder / "defaults.yaml", _Shared)
    topics: dict[str, Topic] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == "defaults.yaml":
            continue
        for topic in _expand(path, defaults):
            if topic.name in topics:
                raise ConfigurationError(f"{path}: {topic.name} stands in the files twice")
            topics[topic.name] = topic
    return sorted(topics.values())


def _expand(path: Path, defaults: _Shared) -> list[Topic]:
    file = _read(path, _File)
    return [_topic(path, name, [defaults, file, entry], entry) for entry in file.topics for name in names(entry.name)]


def _topic(path: Path, name: str, layers: list[_Shared], entry: _Entry) -> Topic:
    """The last layer that says something has the word."""
    partitions = [layer.partitions for layer in layers if layer.partitions]
    replication = [layer.replication_factor for layer in layers if layer.replication_factor]
    schemas = [layer.schema for layer in layers if layer.schema]
    if not partitions or not replication:
        raise ConfigurationError(f"{path}: {name} needs `partitions` and `replication_factor`")
    settings = {key: _text(value) for layer in layers for key, value in layer.settings.items()}
    return Topic(name, partitions[-1], replication[-1], settings, schemas[-1] if schemas else None, entry.description)


def names(pattern: str) -> list[str]:
    """Every name that a pattern with ``{a,b}`` alternatives stands for."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", pattern)]
    return ["".join(chosen) for chosen in itertools.product(*pieces)]


def _text(value: str | int | bool) -> str:
    """As Kafka spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(path: Path, kind: type[SharedT]) -> SharedT:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def subjects_of(topics: list[Topic]) -> dict[str, str]:
    """Registry subject → record of every topic whose values have one schema (TopicNameStrategy)."""
    return {f"{topic.name}-value": topic.schema for topic in topics if topic.schema}
