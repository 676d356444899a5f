"""Compiles readers: from an Avro body to a struct, checking everything on the way."""

from typing import cast

from pipeline.errors import MalformedRecord
from pipeline.events.binary import read_count, read_long, read_size
from pipeline.events.compiled import Reader, RecordT, Slot, Source, root
from pipeline.events.releases import AvroSchema

MAX_ITEMS = 1024
"""Items of one array; our longest holds one for each channel."""


def compile_reader(schema: AvroSchema, struct: type[RecordT]) -> Reader[RecordT]:
    """A function from an Avro body, all of it, to a `struct`.

    It raises `MalformedRecord` naming the field for whatever else the bytes are, and allocates no more than a small
    multiple of their length.
    """
    source = _ReaderSource(
        read_long=read_long, read_size=read_size, read_count=read_count, overrun=_overrun, malformed=_malformed
    )
    source.add(0, "def read(buffer):")
    source.add(1, "size = len(buffer)", "position = 0", "at = ''", "try:")
    source.record(2, root(schema, struct), "record", "")
    source.add(1, "except (IndexError, KeyError, ValueError, RecursionError) as error:")
    source.add(2, "raise malformed(at, error) from None")
    source.add(1, "if position != size:")
    source.add(2, "raise malformed('', ValueError(f'{size - position} bytes follow the end of the record'))")
    source.add(1, "return record")
    return cast("Reader[RecordT]", source.build("read"))


class _ReaderSource(Source):
    """Each method adds the lines that read one kind of value at `position` into the variable `target`."""

    def value(self, depth: int, slot: Slot, target: str, at: str) -> None:
        match slot.kind:
            case "optional":
                self.optional(depth, slot, target, at)
            case "string":
                self.string(depth, slot, target)
            case "enum":
                self.enum(depth, slot, target)
            case "boolean":
                self.add(depth, f"{target} = {self.constant({0: False, 1: True})}[buffer[position]]", "position += 1")
            case "long" | "int":
                self.long(depth, slot, target)
            case "array":
                self.array(depth, slot, target, at)
            case "record":
                self.record(depth, slot, target, f"{at}.")
            case other:
                raise NotImplementedError(f"Avro type {other}")

    def record(self, depth: int, slot: Slot, target: str, at: str) -> None:
        arguments = []
        for name, field in slot.fields():
            self.add(depth, f"at = {at + name!r}")
            self.value(depth, field, f"{target}_{name}", at + name)
            arguments.append(f"{name}={target}_{name}")
        self.add(depth, f"{target} = {self.constant(slot.python)}({', '.join(arguments)})")

    def optional(self, depth: int, slot: Slot, target: str, at: str) -> None:
        self.add(depth, "branch = buffer[position]", "position += 1")
        self.add(depth, "if branch == 0:")
        self.add(depth + 1, f"{target} = None")
        self.add(depth, "elif branch == 2:")
        self.value(depth + 1, slot.some(), target, at)
        self.add(depth, "else:")
        self.add(depth + 1, "raise ValueError('is neither null nor a value')")

    def enum(self, depth: int, slot: Slot, target: str) -> None:
        symbols, member = slot.avro["symbols"], slot.words or str
        if len(symbols) > 64:
            raise NotImplementedError("an enum whose index has two bytes")
        table = {2 * index: member(symbol) for index, symbol in enumerate(symbols)}
        self.add(depth, f"{target} = {self.constant(table)}[buffer[position]]", "position += 1")

    def string(self, depth: int, slot: Slot, target: str) -> None:
        self.add(depth, "length = buffer[position]")
        self.add(depth, "if length & 129:")  # two bytes or more, or negative
        self.add(depth + 1, "length, position = read_size(buffer, position)")
        self.add(depth, "else:")
        self.add(depth + 1, "length >>= 1", "position += 1")
        self.add(depth, "end = position + length")
        self.add(depth, "if end > size:")
        self.add(depth + 1, "raise overrun(length, size - position)")
        if slot.words:
            table = {word.encode(): word for word in slot.words}
            self.add(depth, f"{target} = {self.constant(table)}[buffer[position:end]]")
        else:
            self.add(depth, f"{target} = buffer[position:end].decode()")
            self.text_limits(depth, slot, target)
        self.add(depth, "position = end")

    def text_limits(self, depth: int, slot: Slot, target: str) -> None:
        """Lengths are in characters; no character is more than it has bytes. Ids go where NUL cannot (PostgreSQL)."""
        if slot.limits.get("minLength"):
            self.add(depth, "if not length:")
            self.add(depth + 1, "raise ValueError('is empty')")
        if most := slot.limits.get("maxLength"):
            self.add(depth, f"if length > {most} and len({target}) > {most}:")
            self.add(depth + 1, f"raise ValueError('has more than {most} characters')")
            self.add(depth, f"if '\\0' in {target}:")
            self.add(depth + 1, "raise ValueError('contains a NUL character')")

    def long(self, depth: int, slot: Slot, target: str) -> None:
        self.add(depth, f"{target}, position = read_long(buffer, position)")
        if "minimum" in slot.limits:
            low, high = slot.limits["minimum"], slot.limits["maximum"]
            self.add(depth, f"if not {low} <= {target} <= {high}:")
            self.add(depth + 1, f"raise ValueError(f'is {{{target}}}, not between {low} and {high}')")

    def array(self, depth: int, slot: Slot, target: str, at: str) -> None:
        self.add(depth, f"{target} = []", "while True:")
        self.add(depth + 1, "count, position = read_count(buffer, position)")
        self.add(depth + 1, "if not count:")
        self.add(depth + 2, "break")
        self.add(depth + 1, f"if count + len({target}) > {MAX_ITEMS}:")
        self.add(depth + 2, f"raise ValueError('has more than {MAX_ITEMS} items')")
        self.add(depth + 1, "for _ in range(count):")
        self.value(depth + 2, slot.item(), f"{target}_item", at)
        self.add(depth + 2, f"{target}.append({target}_item)")


def _overrun(length: int, left: int) -> ValueError:
    return ValueError(f"declares {length} bytes, and {left} are left")


def _malformed(at: str, error: Exception) -> MalformedRecord:
    """The error for field `at`. It quotes no more of the record than a word of a vocabulary could be."""
    match error:
        case IndexError():
            text = "the record ends here"
        case UnicodeDecodeError():
            text = "is not valid UTF-8"
        case KeyError(args=[int(byte)]):
            text = f"holds {byte}, which is none of its values"
        case KeyError(args=[bytes(word)]):
            text = f"holds the unknown word {word[:40].decode(errors='replace')!r}"
        case _:
            text = str(error)
    return MalformedRecord(f"{at}: {text}" if at else text)
