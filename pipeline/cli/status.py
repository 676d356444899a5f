"""``pipeline status``: follow the delivery-status topic."""

import os
import re
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import FEEDBACK, ON_THE_WAY, WAITING, Status

app = typer.Typer(help="What happens to notifications, as it happens.", no_args_is_help=True)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLOURS = {Status.SENT: typer.colors.GREEN, Status.FAILED: typer.colors.RED}


@app.callback()
def _group() -> None:
    """Keeps `tail` a command of its own while it is the only one."""


@app.command()
def tail(
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Everything the topic still has.")] = False,
    since: Annotated[str | None, typer.Option(help="Start that long ago: 30s, 10m, 2h, 7d.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event id.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only this recipient id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at what is the end now.")] = False,
) -> None:
    """Print one line for each outcome of each notification; new ones as they come, until Ctrl-C."""
    from pipeline.accounts.take import open_codec
    from pipeline.kafka.names import DELIVERY_STATUS
    from pipeline.kafka.reader import Start, read_topics

    begin: Start = "earliest" if from_beginning else "latest"
    if since is not None:
        begin = int((time.time() - parse_duration(since)) * 1000)
    kafka = Settings.load().kafka
    decode = open_codec(kafka).decode_status
    key = recipient.encode() if recipient is not None else None
    show = to_json if as_json else to_text
    batches = read_topics(kafka, [DELIVERY_STATUS], start=begin, follow=not until_end, key=key)
    try:
        for batch in batches:
            read = (decode(message.value()) for message in batch)
            lines = [show(s) for s in read if event in (None, s.event_id) and recipient in (None, s.recipient_id)]
            if lines:
                typer.echo("\n".join(lines))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        _forget_stdout()


def parse_duration(text: str) -> int:
    """``10m`` in seconds.

    Raises:
        ConfigurationError: it is no number with one of the units s, m, h, d.
    """
    match = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is no duration: write 30s, 10m, 2h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def to_json(status: DeliveryStatus) -> str:
    return msgspec.json.encode(status).decode()


def to_text(status: DeliveryStatus) -> str:
    """Time (UTC), status, channel and priority, type, recipient, event, reason, then what else there is to say."""
    at = datetime.fromtimestamp(status.occurred_at / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    where = f"{status.channel or '–'}/{status.priority}"
    rest = [f"provider={status.provider}"] if status.provider else []
    rest += [f"attempt={status.attempt}"] if status.attempt > 1 else []
    rest += ["in_doubt"] if status.in_doubt else []
    word = typer.style(f"{status.status:<13}", fg=_colour(status.status))
    facts = (status.event_type, status.recipient_id, status.event_id, status.reason, *rest)
    return f"{at.removesuffix('+00:00')}  {word} {where:<15} {'  '.join(facts)}"


def _colour(status: Status) -> str:
    if status in _COLOURS:
        return _COLOURS[status]
    if status in WAITING:
        return typer.colors.MAGENTA
    if status in ON_THE_WAY:
        return typer.colors.CYAN
    return typer.colors.BLUE if status in FEEDBACK else typer.colors.YELLOW


def _forget_stdout() -> None:
    """Whoever read our output has gone: the interpreter must not complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
