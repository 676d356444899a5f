"""``pipeline schemas``: the Avro schemas, their releases, and the registry."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.events.registry import Registry
from pipeline.events.releases import read_lock, read_release
from pipeline.events.releasing import check as check_files
from pipeline.events.releasing import release as release_files
from pipeline.kafka.topology_files import load_topics, subjects_of
from pipeline.resources import resource_dir

app = typer.Typer(help="The Avro schemas, their releases, and the schema registry.", no_args_is_help=True)

LEVEL = "FULL_TRANSITIVE"

Folder = Annotated[Path | None, typer.Option(help="The schema folder; default: the one of this installation.")]


@app.command()
def check(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of {file, at, text}.")] = False,
) -> None:
    """Check that every schema file is released, and compatible with every release (full-transitive).

    Exit code 1 and one line for each finding: file, field, what to change.
    """
    findings = check_files(folder or resource_dir("avro"), subjects_of(load_topics()))
    if as_json:
        typer.echo(json.dumps([{"file": f.file, "at": f.at, "text": f.text} for f in findings]))
    else:
        for finding in findings:
            typer.echo(str(finding), err=True)
        if not findings:
            typer.echo("every schema is released and compatible with all of its releases")
    if findings:
        raise typer.Exit(1)


@app.command()
def release(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of what was released.")] = False,
) -> None:
    """Release the schema files that changed: a new version and id in the lock file. Refuses what is incompatible."""
    added = release_files(folder or resource_dir("avro"), subjects_of(load_topics()))
    if as_json:
        typer.echo(json.dumps(added))
    else:
        typer.echo(f"released {', '.join(added)}" if added else "nothing to release")


@app.command()
def register(
    url: Annotated[str | None, typer.Option(help="The registry; default: kafka.schema_registry_url.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print {subject: {record, id}}.")] = False,
) -> None:
    """Register every release under every subject, and require FULL_TRANSITIVE of each. May be run again."""
    url = url or Settings.load().kafka.schema_registry_url
    if not url:
        raise ConfigurationError("there is no registry: pass --url or set PIPELINE_KAFKA__SCHEMA_REGISTRY_URL")
    ids = asyncio.run(_register(Registry(url), resource_dir("avro")))
    if as_json:
        typer.echo(json.dumps(ids))
        return
    for subject, entry in ids.items():
        typer.echo(f"{subject}: {entry['record']}, id {entry['id']}")


async def _register(registry: Registry, folder: Path) -> dict[str, dict[str, str | int]]:
    lock = read_lock(folder)
    ids: dict[str, dict[str, str | int]] = {}
    for subject, record in lock.subjects.items():
        await registry.require(subject, LEVEL)
        for entry in lock.schemas[record]:
            schema_id = await registry.register(subject, read_release(folder, record, entry))
            ids[subject] = {"record": record, "id": schema_id}
    return ids
