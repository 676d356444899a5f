"""Collapse keys: a text with placeholders that the event fills in, as ``order-{data.order_id}``."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"data(\.[^.{}\s]+)+")


def lookup(data: object, path: tuple[str, ...]) -> object:
    """The value at `path` inside nested JSON objects; None where there is none."""
    for name in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(name)
    return data


class CollapseKey:
    """A compiled collapse key."""

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        """Compile.

        Raises:
            ValueError: a placeholder is not of the form ``{data.field}``, or a brace has no partner.
        """
        pieces = _PLACEHOLDER.split(text)
        if any("{" in literal or "}" in literal for literal in pieces[::2]):
            raise ValueError("a brace has no partner; placeholders look like {data.order_id}")
        if wrong := [p for p in pieces[1::2] if not _PATH.fullmatch(p)]:
            raise ValueError(f"unknown placeholder {{{wrong[0]}}}; placeholders look like {{data.order_id}}")
        self._parts: list[str | tuple[str, ...]] = [
            tuple(piece.split(".")[1:]) if odd % 2 else piece for odd, piece in enumerate(pieces)
        ]

    def fill(self, data: Mapping[str, object]) -> str | None:
        """The key for this event's `data`; None where a field is missing or is no plain value: it collapses nothing."""
        filled = []
        for part in self._parts:
            value = part if isinstance(part, str) else lookup(data, part)
            if not isinstance(value, str | int | float):
                return None
            filled.append(str(value))
        return "".join(filled)
