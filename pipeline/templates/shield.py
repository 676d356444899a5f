"""Takes Jinja out of a source, so that a markup compiler can work on it, and puts it back afterwards.

MJML is compiled once per template, not once per mail. It must therefore never see the Jinja in it: it would drop text
between its elements and turn ``<`` in a condition into an entity. Each Jinja construct becomes an opaque word.
"""

import re
from dataclasses import dataclass

from jinja2 import Environment

_OPENERS = frozenset({"variable_begin", "block_begin", "comment_begin", "raw_begin"})
_CLOSERS = frozenset({"variable_end", "block_end", "comment_end", "raw_end"})
WORD = re.compile(r"xjinjax(\d+)xjinjax")
"""What stands for a construct; its group is the construct's number."""

_LEXER = Environment(autoescape=True)


@dataclass(frozen=True, slots=True)
class Construct:
    """One ``{{ … }}``, ``{% … %}`` or ``{# … #}`` and the line it begins on."""

    line: int
    code: str


@dataclass(frozen=True, slots=True)
class Shielded:
    """A source whose Jinja constructs are words; `constructs` are what the words stand for, in order."""

    text: str
    constructs: tuple[Construct, ...]

    def restore(self, compiled: str) -> str:
        """Put the constructs back into what a compiler made of `text`."""
        return WORD.sub(lambda match: self.constructs[int(match[1])].code, compiled)

    def lost(self, compiled: str) -> list[Construct]:
        """The constructs that the compiler dropped."""
        kept = {int(number) for number in WORD.findall(compiled)}
        return [construct for number, construct in enumerate(self.constructs) if number not in kept]

    def source_lines(self, compiled: str) -> tuple[int, ...]:
        """For each line of the restored text, the source line of the nearest construct up to there."""
        lines, current = [], 1
        for row in compiled.split("\n"):
            found = [self.constructs[int(number)] for number in WORD.findall(row)]
            lines.append(found[0].line if found else current)
            for construct in found:
                lines.extend([construct.line] * construct.code.count("\n"))
                current = construct.line
        return tuple(lines)


def shield(source: str, *, keep_lines: bool = False) -> Shielded:
    """Replace every Jinja construct by a word; `keep_lines`: followed by its line breaks, so that lines are the same.

    Raises:
        jinja2.TemplateSyntaxError: a construct is not closed.
    """
    text: list[str] = []
    constructs: list[Construct] = []
    open_parts: list[str] = []
    opened_at = 1
    for line, kind, value in _LEXER.lex(source):
        if kind in _OPENERS and not open_parts:
            opened_at = line
        if kind in _OPENERS or open_parts:
            open_parts.append(value)
        else:
            text.append(value)
        if kind in _CLOSERS:
            text.append(f"xjinjax{len(constructs)}xjinjax")
            code = "".join(open_parts)
            constructs.append(Construct(opened_at, code))
            if keep_lines:
                text.append("\n" * code.count("\n"))
            open_parts = []
    return Shielded("".join(text), tuple(constructs))
