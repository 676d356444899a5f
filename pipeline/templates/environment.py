"""The Jinja2 environments: sandboxed, strict about undefined names, escaping by what is rendered."""

import re
from datetime import date, datetime
from pathlib import Path
from types import BuiltinMethodType
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.templates.context import EventView, UserView

_WEB_LINK = re.compile(r"https?://[^/?#\s][^\x00-\x1f\x7f]*", re.IGNORECASE)


class DataFirstEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox in which ``data.items`` is the event's field of that name, where it has one, not the dict's method.

    Jinja looks for an attribute first and comes to the field by way of an exception, which takes four times as long.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._plain: set[tuple[type, str]] = set()
        """Attributes that the sandbox gives out as they are: what it decides hangs on the type and the name alone."""

    def getattr(self, obj: object, attribute: str) -> object:
        """A dict's own key; for all else as the sandbox does it."""
        kind = type(obj)
        if kind is dict and attribute in obj:  # type: ignore[operator]  # mypy does not see that it is a dict
            return obj[attribute]  # type: ignore[index]
        if (kind, attribute) in self._plain:
            return getattr(obj, attribute)
        found = super().getattr(obj, attribute)
        if kind in _PLAIN_TYPES and self._is_plain(obj, attribute, found):
            self._plain.add((kind, attribute))
        return found

    def call(self, context: Context, obj: Any, /, *args: object, **kwargs: object) -> Any:
        """``data.get(…)`` at once; for all else as the sandbox does it. A dict's own `get` reaches nothing but values."""
        plain = not kwargs and type(obj) is BuiltinMethodType  # in a loop Jinja adds arguments of its own
        if plain and type(obj.__self__) is dict and obj.__name__ == "get":
            return obj(*args)
        return super().call(context, obj, *args, **kwargs)

    def _is_plain(self, obj: object, attribute: str, found: object) -> bool:
        """Neither undefined, nor unsafe, nor a ``format`` that the sandbox has wrapped."""
        return hasattr(type(obj), attribute) and found == getattr(obj, attribute)


_PLAIN_TYPES = frozenset({dict, datetime, date, EventView, UserView})
"""Types of a closed set of attributes, so that what is remembered stays small."""


def html_environment(root: Path) -> ImmutableSandboxedEnvironment:
    """For mail: every value is escaped, also in what a template includes or imports."""
    return _environment(root, escape=True)


def text_environment(root: Path) -> ImmutableSandboxedEnvironment:
    """For everything that is not HTML. A line that holds only a tag leaves no empty line behind."""
    environment = _environment(root, escape=False)
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    return environment


def _environment(root: Path, *, escape: bool) -> ImmutableSandboxedEnvironment:
    environment = DataFirstEnvironment(
        loader=FileSystemLoader(root), undefined=StrictUndefined, autoescape=escape, auto_reload=False, cache_size=-1
    )
    environment.filters["web_link"] = web_link
    return environment


def web_link(value: object) -> str:
    """The value if it is an http or https URL, else the empty string: no ``javascript:`` from data in a link."""
    text = str(value).strip()
    return text if _WEB_LINK.fullmatch(text) else ""
