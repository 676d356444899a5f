"""``pipeline router``, ``worker``, ``scheduler``, ``gateway``, ``realtime``: one service a process."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel, Priority


def router(
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only compare: decide by --policy too, write nothing but metrics and logs.")
    ] = False,
    policy: Annotated[Path | None, typer.Option(help="The catalogue that the shadow tries.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting that the shadow tries: router.unknown_types=suppress.")
    ] = None,
) -> None:
    """Decide every event of the ingest topic and hand it to its channels."""
    from pipeline.runtime import run_service

    settings = Settings.load()
    if shadow and policy is not None:
        from pipeline.whatif.overrides import overridden
        from pipeline.whatif.shadow import shadow_service

        candidate = overridden(settings.router, overrides or ())
        run_service("router-shadow", settings, shadow_service(policy, candidate))
        return
    if shadow or policy is not None or overrides:
        raise ConfigurationError(
            "give --shadow and --policy FILE together, or neither: only a shadow tries a catalogue"
        )
    from pipeline.routing.service import serve_router

    run_service("router", settings, serve_router)


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
