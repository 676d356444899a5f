"""The page of the command line, made from the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer.main

HEAD = ("Argument or option", "Default", "What it says")


def cli_reference() -> str:
    """A headed section for each command: its usage, what it does, its arguments and options."""
    from pipeline.cli.root import app

    return "\n\n".join(_sections(typer.main.get_command(app), ("pipeline",)))


def _sections(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Depth first, in the order in which ``--help`` lists them. `Any`: Typer does not export its classes' types."""
    if hasattr(command, "commands"):
        if command.invoke_without_command:
            yield _section(command, path, "")
        for name, child in command.commands.items():
            yield from _sections(child, (*path, name))
        return
    with command.make_context(" ".join(path), [], resilient_parsing=True) as context:
        usage = " ".join(command.collect_usage_pieces(context)).upper()
    yield _section(command, path, f" {usage}")


def _section(command: Any, path: tuple[str, ...], usage: str) -> str:
    name = " ".join(path)
    return f"### `{name}`\n\n```text\n{name}{usage}\n```\n\n{_help(command)}{_table(command)}"


def _help(command: Any) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def _table(command: Any) -> str:
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if not rows:
        return ""
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = " / ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
    return name, _default(parameter), " ".join((parameter.help or "").split()).replace("|", "\\|")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if callable(default) or default in (None, "", (), [], False):
        return "none"
    return f"`{getattr(default, 'value', default)}`"
