"""``pipeline templates …``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.events.vocabulary import Channel

if TYPE_CHECKING:
    from pipeline.catalogue.model import Catalogue
    from pipeline.templates.store import TemplateStore

app = typer.Typer(help="The templates of all channels.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option("--templates", help="The template folder; that of the settings if not given.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

SAMPLE_UNSUBSCRIBE_URL = "https://example.com/u/sample"


@app.callback()
def templates() -> None:
    """The templates of all channels."""


@app.command()
def check(folder: Folder = None, as_json: Json = False) -> None:
    """Compile all templates, and see that the catalogue's channels have theirs; exit code 1 on any problem."""
    from pipeline.catalogue.loader import load_catalogue
    from pipeline.config import Settings
    from pipeline.errors import CatalogueError
    from pipeline.templates.store import TemplateStore

    settings = Settings.load().catalogue
    root = folder or settings.templates
    try:
        store = TemplateStore.load(root)
        problems = missing_templates(store, load_catalogue(settings.path), settings.path)
    except CatalogueError as error:
        store, problems = None, error.problems
    found = sorted(f"{t.name} {t.channel} {t.locale}" for t in store or ())
    _report(root, found, problems, as_json)
    if problems:
        raise typer.Exit(1)


@app.command()
def preview(
    name: Annotated[str, typer.Argument(help="The template.")],
    data: Annotated[typer.FileText, typer.Option("--data", help="A file with the event's `data` (JSON); - is stdin.")],
    channel: Annotated[Channel, typer.Option(help="The channel.")] = Channel.EMAIL,
    locale: Annotated[str, typer.Option(help="The locale, BCP 47.")] = "en",
    event_type: Annotated[str, typer.Option(help="What `event.type` says.")] = "preview",
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Render one template with the given data and print each part."""
    from pipeline.config import Settings
    from pipeline.templates.store import TemplateStore

    store = TemplateStore.load(folder or Settings.load().catalogue.templates, [channel])
    parts = store.find(name, channel, locale).render(_sample_context(event_type, data.read(), locale))
    if as_json:
        typer.echo(json.dumps(parts))
        return
    for part, text in parts.items():
        typer.echo(f"--- {part}\n{text}")


def missing_templates(store: "TemplateStore", catalogue: "Catalogue", path: Path) -> list[str]:
    """One line for each event type whose own channels lack a template in the default locale."""
    from pipeline.errors import TemplateError

    problems = []
    for pattern, entry in catalogue.entries.items():
        for channel in entry.channels:
            try:
                store.find(entry.templates.get(channel, entry.template), channel, None)
            except TemplateError as error:
                problems.append(f"{path}: {pattern}: {error}")
    return problems


def _sample_context(event_type: str, data: str, locale: str) -> dict[str, object]:
    from pipeline.events.records import NotificationRequested
    from pipeline.templates.context import render_context

    event = NotificationRequested(
        event_id="evt_preview",
        event_type=event_type,
        recipient_id="user_preview",
        channels=[],
        priority=None,
        data=data,
        idempotency_key="preview",
        created_at=1_767_225_600_000,
    )
    return render_context(event, locale) | {"unsubscribe_url": SAMPLE_UNSUBSCRIBE_URL}


def _report(root: Path, found: list[str], problems: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "templates": found, "problems": problems}))
    elif not problems:
        typer.echo(f"{root}: {len(found)} templates, all fine")
    for problem in problems:
        sys.stderr.write(problem + "\n")
