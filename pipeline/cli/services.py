"""``pipeline router``, ``worker``, ``scheduler``, ``gateway``, ``realtime``: one service a process."""

from typing import Annotated

import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel, Priority


def router() -> None:
    """Decide every event of the ingest topic and hand it to its channels."""
    from pipeline.routing.service import serve_router
    from pipeline.runtime import run_service

    run_service("router", Settings.load(), serve_router)


def scheduler() -> None:
    """Keep what waits for a time, let it go when it is due, and collect digests."""
    from pipeline.runtime import run_service
    from pipeline.scheduler.service import serve_scheduler

    run_service("scheduler", Settings.load(), serve_scheduler)


def worker(
    channel: Annotated[Channel, typer.Option(help="The channel to deliver.")],
    priority: Annotated[
        str, typer.Option(help="Comma-separated priorities; each is a topic and a consumer group of its own.")
    ] = ",".join(Priority),
) -> None:
    """Deliver the notifications of one channel."""
    from pipeline.delivery.service import worker_service
    from pipeline.runtime import run_service

    priorities = parse_priorities(priority)
    run_service(f"worker-{channel}", Settings.load(), worker_service(channel, priorities))


def gateway() -> None:
    """Accept events over HTTP, and serve profiles, preferences, devices and inboxes."""
    from pipeline.gateway.service import serve_gateway
    from pipeline.runtime import run_service

    run_service("gateway", Settings.load(), serve_gateway)


def realtime() -> None:
    """Carry in-app notifications to connected browsers and apps: Socket.IO, SSE, long polling."""
    from pipeline.realtime.service import serve_realtime
    from pipeline.runtime import run_service

    run_service("realtime", Settings.load(), serve_realtime)


def parse_priorities(text: str) -> list[Priority]:
    """Priorities out of a comma-separated list, without repeats.

    Raises:
        ConfigurationError: a word is no priority.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if word not in set(Priority)]
    if wrong or not words:
        raise ConfigurationError(f"--priority {text!r}: give one or more of {', '.join(Priority)}, separated by commas")
    return list(dict.fromkeys(Priority(word) for word in words))
