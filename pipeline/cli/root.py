"""The ``pipeline`` command line, put together."""

import sys

import typer

from pipeline.cli import (
    accounts,
    audit,
    catalogue,
    demo,
    devices,
    dlq,
    docs,
    doctor,
    explain,
    keys,
    migrate,
    produce,
    schemas,
    services,
    status,
    store,
    suppressions,
    templates,
    topics,
    users,
)
from pipeline.errors import PipelineError

app = typer.Typer(
    name="pipeline",
    help="Notifications as a Kafka stream-processing pipeline: every one of them exactly accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

app.command("router")(services.router)
app.command("worker")(services.worker)
app.command("scheduler")(services.scheduler)
app.command("gateway")(services.gateway)
app.command("realtime")(services.realtime)
app.command("up")(demo.up)
app.command("demo")(demo.demo)
app.command("produce")(produce.produce)
app.command("accounts")(accounts.accounts)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.command("migrate")(migrate.migrate)
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(templates.app, name="templates")
app.add_typer(users.app, name="users")
app.add_typer(devices.app, name="devices")
app.add_typer(keys.app, name="keys")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(status.app, name="status")
app.add_typer(dlq.app, name="dlq")
app.add_typer(audit.app, name="audit")
app.add_typer(store.app, name="store")
app.add_typer(docs.app, name="docs")


def main() -> None:
    """Run the command line; an error made by people is one text on stderr and exit code 1, never a traceback."""
    try:
        app()
    except PipelineError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
