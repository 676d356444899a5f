"""Compiles writers: from a struct to its Avro body."""

from typing import cast

from pipeline.events.binary import SIZES, pack_array, pack_long, pack_text
from pipeline.events.compiled import RecordT, Slot, Source, Writer, root
from pipeline.events.releases import AvroSchema


def compile_writer(schema: AvroSchema, struct: type[RecordT], *, leave_out: str | None = None) -> Writer[RecordT]:
    """A function from a `struct` to its Avro body. `leave_out` names a last field, which the caller appends himself."""
    return cast("Writer[RecordT]", _compile(root(schema, struct), leave_out))


def _compile(slot: Slot, leave_out: str | None = None) -> object:
    source = _WriterSource(SIZES=SIZES, pack_array=pack_array, pack_long=pack_long, pack_text=pack_text)
    source.add(0, "def write(record):")
    fields = [(name, field) for name, field in slot.fields() if name != leave_out]
    parts = [part for name, field in fields for part in source.value(field, name)]
    source.add(1, f"return b''.join(({', '.join(parts)},))")
    return source.build("write")


class _WriterSource(Source):
    """`value` adds the lines that prepare one field, and returns the expressions that are its bytes."""

    def value(self, slot: Slot, name: str) -> list[str]:
        got = f"record.{name}"
        match slot.kind:
            case "string" if not slot.words:
                self.add(1, f"{name} = {got}.encode()", f"{name}_size = len({name})")
                return [f"SIZES[{name}_size] if {name}_size < {len(SIZES)} else pack_long({name}_size)", name]
            case "optional" if slot.some().kind != "enum":
                self.add(1, f"{name} = {got}")
                return [f"b'\\0' if {name} is None else b'\\2' + {self.packer(slot.some())}({name})"]
            case "boolean":
                return [f"b'\\1' if {got} else b'\\0'"]
            case "array":
                return [f"pack_array({got}, {self.packer(slot.item())})"]
            case "string" | "enum" | "optional":
                return [f"{self.constant(_table(slot))}[{got}]"]
            case _:
                return [f"{self.packer(slot)}({got})"]

    def packer(self, slot: Slot) -> str:
        """The name of a function from the value to its bytes."""
        match slot.kind:
            case "string" if not slot.words:
                return "pack_text"
            case "long" | "int":
                return "pack_long"
            case "record":
                return self.constant(_compile(slot))
            case "string" | "enum":
                return self.constant(_table(slot).__getitem__)
            case other:
                raise NotImplementedError(f"Avro type {other}")


def _table(slot: Slot) -> dict[str | None, bytes]:
    """The bytes of every word that the slot can hold."""
    match slot.kind:
        case "optional":
            return {None: b"\0", **{word: b"\2" + packed for word, packed in _table(slot.some()).items()}}
        case "enum":
            return {symbol: pack_long(index) for index, symbol in enumerate(slot.avro["symbols"])}
        case _:
            return {word.value: pack_text(word) for word in slot.words or ()}
