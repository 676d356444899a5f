"""``pipeline templates …``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.events.vocabulary import Channel

if TYPE_CHECKING:
    from pipeline.templates.checking import Report

app = typer.Typer(help="The templates of all channels.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option("--templates", help="The template folder; that of the settings if not given.", show_default=False),
]
CatalogueFile = Annotated[
    Path | None,
    typer.Option("--catalogue", help="The event catalogue; that of the settings if not given.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.callback()
def templates() -> None:
    """The templates of all channels."""


@app.command()
def check(folder: Folder = None, catalogue: CatalogueFile = None, as_json: Json = False) -> None:
    """Compile all templates, render each with sample data, and look for what is missing, unsafe or too large.

    The data is the `examples` of the event type's JSON Schema, or made up from it: once with all fields, once with the
    required ones alone. Exit code 1 on any problem.
    """
    from pipeline.config import Settings
    from pipeline.templates.checking import check_templates

    settings = Settings.load()
    root, path = folder or settings.catalogue.templates, catalogue or settings.catalogue.path
    report = check_templates(root, path, max_segments=settings.sms.max_segments)
    _show(root, report, as_json)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def preview(
    name: Annotated[str, typer.Argument(help="The template; with @2, its version 2.")],
    data: Annotated[
        typer.FileText | None,
        typer.Option("--data", help="A file with the event's `data` (JSON); - is stdin. Without: sample data."),
    ] = None,
    channel: Annotated[Channel, typer.Option(help="The channel.")] = Channel.EMAIL,
    locale: Annotated[str, typer.Option(help="The locale, BCP 47.")] = "en",
    event_type: Annotated[str, typer.Option(help="What `event.type` says; sample data is made for it.")] = "preview",
    folder: Folder = None,
    output: Annotated[Path | None, typer.Option(help="Write each part into a file in this folder.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser or its usual program.")] = False,
    as_json: Json = False,
) -> None:
    """Render one template and print each part; a push message also as its payload, an SMS with its segments."""
    from pipeline.config import Settings
    from pipeline.templates.checking import sample_context
    from pipeline.templates.previews import for_people, write_files
    from pipeline.templates.previews import preview as render
    from pipeline.templates.store import TemplateStore

    settings = Settings.load()
    store = TemplateStore.load(folder or settings.catalogue.templates, [channel])
    text = data.read() if data else _sample_data(name, event_type, channel)
    context = sample_context(event_type, text, locale)
    shown = render(store.find(name, channel, locale), context, max_segments=settings.sms.max_segments)
    if as_json:
        typer.echo(json.dumps(shown))
    else:
        typer.echo(for_people(shown))
    if output or open_it:
        written = write_files(channel, shown, output or _scratch())
        for path in written:
            sys.stderr.write(f"{path}\n")
        if open_it:
            typer.launch(str(next((path for path in written if path.suffix == ".html"), written[0])))


def _sample_data(name: str, event_type: str, channel: Channel) -> str:
    """Sample data of that event type, or of one that uses the template.

    Raises:
        ConfigurationError: no event type of the catalogue does.
    """
    from pipeline.catalogue.loader import load_catalogue
    from pipeline.config import Settings
    from pipeline.errors import ConfigurationError
    from pipeline.templates.checking import schemas_of, template_of
    from pipeline.templates.layout import split_version
    from pipeline.templates.samples import samples

    path = Settings.load().catalogue.path
    catalogue, schemas = load_catalogue(path), schemas_of(path)
    wanted = split_version(name)[0]
    using = [p for p, e in catalogue.entries.items() if split_version(template_of(e, channel))[0] == wanted]
    found = catalogue.find(event_type)
    pattern = found.entry.pattern if found else next(iter(using), None)
    if pattern is None:
        raise ConfigurationError(f"no event type of {path} uses template {name!r}: give its data with --data FILE")
    return json.dumps(samples(schemas.get(pattern))[0])


def _scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="template-preview-"))


def _show(root: Path, report: "Report", as_json: bool) -> None:
    if as_json:
        said = {"ok": not report.problems, "rendered": report.rendered, "templates": report.templates}
        typer.echo(json.dumps({**said, "problems": report.problems, "notes": report.notes}))
    elif not report.problems:
        typer.echo(f"{root}: {len(report.templates)} templates, rendered {report.rendered} times, all fine")
    for line in [*report.problems, *(f"note: {note}" for note in report.notes)]:
        sys.stderr.write(line + "\n")
