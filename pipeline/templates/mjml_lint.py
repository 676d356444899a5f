"""What is wrong with the MJML of a mail, with lines: the compiler itself drops or swallows most mistakes. Pure."""

import difflib
from functools import cache
from html.parser import HTMLParser
from typing import NamedTuple

from mjml.core.registry import components, register_core_components

from pipeline.templates.shield import WORD, shield

_STRUCTURE = frozenset({"mjml", "mj-all", "mj-class", "mj-include", "mj-html-attribute", "mj-selector"})
_EVERYWHERE = frozenset({"mj-class", "css-class"})
_HOLDS: dict[str, frozenset[str]] = {
    "mjml": frozenset({"mj-head", "mj-body"}),
    "mj-body": frozenset({"mj-section", "mj-wrapper", "mj-hero", "mj-raw"}),
    "mj-wrapper": frozenset({"mj-section", "mj-hero", "mj-raw"}),
    "mj-section": frozenset({"mj-column", "mj-group", "mj-raw"}),
    "mj-group": frozenset({"mj-column", "mj-raw"}),
}
"""What the containers may hold: https://documentation.mjml.io/#components"""

_NO_TEXT = frozenset({*_HOLDS, "mj-column", "mj-head", "mj-attributes"})
"""Text directly in one of these reaches no mail."""

_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "area", "col", "wbr"})


class Mistake(NamedTuple):
    """`line` is that of the source."""

    line: int
    what: str


def lint_mjml(source: str) -> list[Mistake]:
    """Every mistake in the structure, in order of lines.

    Raises:
        jinja2.TemplateSyntaxError: a Jinja construct is not closed.
    """
    reader = _Reader()
    reader.feed(shield(source, keep_lines=True).text)
    reader.close()
    return sorted(reader.finish())


@cache
def _known() -> dict[str, frozenset[str]]:
    """The attributes of every element that the compiler knows."""
    register_core_components()
    return {name: frozenset(component.allowed_attrs()) for name, component in components.items() if component}


class _Reader(HTMLParser):
    """Follows the elements; HTML inside of them is the compiler's to pass on."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._mistakes: list[Mistake] = []
        self._open: list[tuple[str, int]] = []
        self._began = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, [name for name, _ in attrs])
        if tag not in _VOID:
            self._open.append((tag, self._line))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, [name for name, _ in attrs])

    def handle_endtag(self, tag: str) -> None:
        if not _is_mjml(tag):
            self._close_html(tag)
            return
        while self._open and self._open[-1][0] != tag and any(name == tag for name, _ in self._open):
            name, line = self._open.pop()
            self._tell(f"<{name}> is not closed", line)
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self._tell(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        text = WORD.sub("", data)  # a construct that is dropped is told by its code, when it is compiled
        if text.strip() and self._parent in _NO_TEXT:
            line = self._line + data[: len(data) - len(data.lstrip())].count("\n")
            self._tell(f"text directly in <{self._parent}> is dropped: put it into <mj-text>", line)

    def finish(self) -> list[Mistake]:
        for name, line in self._open:
            if _is_mjml(name):
                self._tell(f"<{name}> is not closed", line)
        if not self._began:
            self._tell("no <mjml> at the beginning", 1)
        return self._mistakes

    @property
    def _line(self) -> int:
        return self.getpos()[0]

    @property
    def _parent(self) -> str:
        return self._open[-1][0] if self._open else ""

    def _check(self, tag: str, attributes: list[str]) -> None:
        self._began = self._began or tag == "mjml"
        if not _is_mjml(tag) or any(name == "mj-attributes" for name, _ in self._open):
            return
        if tag not in _known() and tag not in _STRUCTURE:
            self._tell(f"there is no element <{tag}>{_near(tag, {*_known(), *_STRUCTURE})}")
            return
        if tag not in _HOLDS.get(self._parent, {tag}):
            self._tell(f"<{tag}> may not stand in <{self._parent}>; it takes {_listed(_HOLDS[self._parent])}")
        allowed = _known().get(tag) or frozenset()
        for name in attributes:
            if allowed and name not in allowed | _EVERYWHERE:
                self._tell(f"<{tag}> has no attribute {name!r}{_near(name, allowed)}")

    def _close_html(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def _tell(self, what: str, line: int | None = None) -> None:
        self._mistakes.append(Mistake(line or self._line, what))


def _is_mjml(tag: str) -> bool:
    return tag == "mjml" or tag.startswith("mj-")


def _near(word: str, words: frozenset[str] | set[str]) -> str:
    near = difflib.get_close_matches(word, sorted(words), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"<{name}>" for name in sorted(names))
