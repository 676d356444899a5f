"""Compiles an Avro schema and its msgspec struct into two Python functions: a reader and a writer.

fastavro walks the schema again for every record. Unrolled into straight-line Python the same bytes are read and
written in a third of the time, and on the way words become members of their `StrEnum` and the limits that the schema
states are checked (``minLength``, ``maxLength``, ``minimum``, ``maximum`` on a field). fastavro remains the reference:
property tests hold both to the same bytes. Figures: ``docs/decisions/0002-avro-without-confluents-serializers.md``.

Supported is what ``avro/*.avsc`` uses: records, enums of at most 64 symbols, arrays, ``["null", X]``, string, int,
long, boolean. Anything else fails when it is compiled. Logical types are ignored: times are integers, milliseconds.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec

from pipeline.events.releases import AvroSchema, expand

RecordT = TypeVar("RecordT", bound=msgspec.Struct)
Reader = Callable[[bytes], RecordT]
Writer = Callable[[RecordT], bytes]


class Slot(NamedTuple):
    """One value in a record: its Avro type (every name expanded), its Python type, the limits of its field."""

    avro: Any
    python: Any
    limits: AvroSchema

    @property
    def kind(self) -> str:
        """``string``, ``enum``, ``record``…, or ``optional`` for ``["null", X]``."""
        match self.avro:
            case str(name) | {"type": str(name)}:
                return name
            case ["null", _]:
                return "optional"
        raise NotImplementedError(f"Avro type {self.avro!r}")

    @property
    def words(self) -> type[StrEnum] | None:
        """The vocabulary that the value is a word of."""
        return self.python if isinstance(self.python, type) and issubclass(self.python, StrEnum) else None

    def some(self) -> "Slot":
        """What an optional slot holds when it is not null."""
        python = next(arm for arm in get_args(self.python) if arm is not type(None))
        return Slot(self.avro[1], python, self.limits)

    def item(self) -> "Slot":
        """What an array holds."""
        return Slot(self.avro["items"], get_args(self.python)[0], {})

    def fields(self) -> Iterator[tuple[str, "Slot"]]:
        """Name and slot of each field of a record."""
        hints = get_type_hints(self.python)
        names = [field["name"] for field in self.avro["fields"]]
        if names != list(self.python.__struct_fields__):
            raise TypeError(f"{self.python.__name__} has not the fields of its schema, in their order: {names}")
        for field in self.avro["fields"]:
            yield field["name"], Slot(field["type"], hints[field["name"]], field)


def root(schema: AvroSchema, struct: type[msgspec.Struct]) -> Slot:
    """The slot of a whole record."""
    return Slot(expand(schema), struct, {})


class Source:
    """Python source under construction, and the constants that it names."""

    def __init__(self, **constants: object) -> None:
        self._constants = constants
        self._lines: list[str] = []

    def add(self, depth: int, *lines: str) -> None:
        self._lines += ("    " * depth + line for line in lines)

    def constant(self, value: object) -> str:
        name = f"C{len(self._constants)}"
        self._constants[name] = value
        return name

    def build(self, name: str) -> Any:
        """Compile what was added and return what it defined as `name`."""
        exec("\n".join(self._lines), self._constants)  # noqa: S102 - made here from our own schemas, as attrs does
        return self._constants[name]
