"""From the MJML source of a mail to two Jinja sources, HTML and text. Runs once per template."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from mjml import mjml_to_html

from pipeline.templates.mjml_lint import Mistake, lint_mjml
from pipeline.templates.shield import Shielded, shield

_INDENT = re.compile(r"\n\s+")
_BLANKS = re.compile(r"[ \t\r\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_SILENT = frozenset({"mj-head", "mj-style", "style", "script", "mj-image", "mj-title", "mj-preview"})
_BREAKING = frozenset({"mj-text", "mj-button", "mj-raw", "mj-divider", "p", "div", "li", "tr", "h1", "h2", "h3", "br"})


class MailSourceError(Exception):
    """The MJML cannot be compiled; `mistakes` have the lines of the source."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(mistake.what for mistake in mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class MailSource:
    """Jinja sources of both bodies. `html_lines[n]` is the MJML line that line n+1 of `html` comes from."""

    html: str
    html_lines: tuple[int, ...]
    text: str


def compile_mail(mjml: str) -> MailSource:
    """Compile MJML with the Jinja constructs left as they are.

    Raises:
        MailSourceError: it is no MJML, or MJML would drop a construct.
        jinja2.TemplateSyntaxError: a Jinja construct is not closed.
    """
    if mistakes := lint_mjml(mjml):
        raise MailSourceError(*mistakes)
    shielded = shield(mjml)
    compiled = _to_html(shielded.text)
    if lost := shielded.lost(compiled):
        raise MailSourceError(
            *(Mistake(one.line, f"MJML drops {one.code!r} here: wrap it in <mj-raw>") for one in lost)
        )
    return MailSource(shielded.restore(compiled), shielded.source_lines(compiled), _to_text(shielded))


def _to_html(mjml: str) -> str:
    try:
        result = mjml_to_html(mjml)
    except Exception as error:
        raise MailSourceError(Mistake(1, f"MJML cannot compile it: {error}")) from error
    return _INDENT.sub("\n", result.html).strip()


def _to_text(shielded: Shielded) -> str:
    """What a reader without HTML sees: the text, each link's address behind it in parentheses."""
    parser = _TextParser()
    parser.feed(shielded.text)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return shielded.restore(_EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip())


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0
        self._links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in {"a", "mj-button"}:
            self._links.append(dict(attrs).get("href"))
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        if tag in {"a", "mj-button"} and self._links and (link := self._links.pop()):
            self.parts.append(f" ({link})")
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(_BLANKS.sub(" ", data))

    def _break(self, tag: str) -> None:
        if tag in _BREAKING and not self._silent:
            self.parts.append("\n")
