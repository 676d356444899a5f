"""Every command that the documents tell people to type is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from pipeline.cli.root import app

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(page for page in (ROOT / "docs").rglob("*.md") if page.name != "cli.md")]

FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\.venv/bin/)?pipeline [^`]+)`")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?pipeline (.+)$", re.MULTILINE)
ROOT_COMMAND: Any = typer.main.get_command(app)
OF_A_SHELL = {"|", "||", "&&", ";", ">", ">>", "<", "&", "#"}
NOT_THERE = re.compile(r"does not exist|is not readable|is a directory")
"""What a file that only the reader has looks like here."""


class Typed(NamedTuple):
    """A command as a page has it."""

    page: str
    line: str
    inline: bool


def commands() -> Iterator[Typed]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.findall(text):
            for line in COMMAND.findall(block.replace("\\\n", " ")):
                yield Typed(page.name, line, inline=False)
        for span in INLINE.findall(FENCE.sub("", text)):
            yield Typed(page.name, " ".join(span.split()).split("pipeline ", 1)[1], inline=True)


def words_of(line: str) -> list[str]:
    """Up to where the shell takes over."""
    words = []
    for word in shlex.split(line, comments=True):
        if word in OF_A_SHELL:
            break
        words.append(word.rstrip(";"))
    return [word for word in words if word not in {"…", "..."}]


def complaint(words: list[str], *, whole: bool) -> str:
    """Why the command line would refuse these words; `whole` False: a mention need not name every argument."""
    command: Any = ROOT_COMMAND
    path = ["pipeline"]
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            if command.invoke_without_command and words[0].startswith("-"):
                break
            return f"{' '.join(path)} has no command {words[0]!r}"
        path.append(words[0])
        command = command.commands[words[0]]
        words = words[1:]
    try:
        command.make_context(" ".join(path), words)
    except Exception as error:  # noqa: BLE001  # Typer exports no class of its own for what people mistype
        name, text = type(error).__name__, str(getattr(error, "message", error))
        if NOT_THERE.search(text) or name in {"NoArgsIsHelpError", "Exit"}:
            return ""
        if not whole and name in {"MissingParameter", "BadParameter"}:
            return ""
        return f"{name}: {text or error!r}"
    return ""


ALL = list(dict.fromkeys(commands()))


def test_the_documents_have_commands() -> None:
    assert len([typed for typed in ALL if not typed.inline]) > 30


@pytest.mark.parametrize("typed", ALL, ids=lambda typed: f"{typed.page}: {typed.line[:60]}")
def test_a_command_in_the_documents_is_one_that_there_is(typed: Typed) -> None:
    assert complaint(words_of(typed.line), whole=not typed.inline) == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("topics plant", "has no command 'plant'"),
        ("doctor --jason", "NoSuchOption"),
        ("worker --channel pigeon", "BadParameter"),
        ("explain", "MissingParameter"),
    ],
)
def test_a_slip_would_be_noticed(line: str, why: str) -> None:
    assert why in complaint(words_of(line), whole=True)
