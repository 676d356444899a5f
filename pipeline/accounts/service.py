"""``pipeline accounts --serve``: takes the balance again and again and shows it as metrics.

The balance is taken by ``pipeline accounts --json`` in a process of its own: it reads for seconds to minutes, and what
it needs of memory and disk is free again afterwards. Lag and dead letters are sampled here as well, so that somebody
tells of them while the router is down.
"""

import asyncio
import logging
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE

import msgspec

from pipeline.errors import Unavailable
from pipeline.observability.lag import sample_lag
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.runtime import Background, Runtime, Service, unless_stopped

logger = logging.getLogger(__name__)

EVERY = 900.0
"""Seconds between two balances: each reads two topics from end to end."""

STATES = (
    "accepted",
    "terminal",
    "waiting",
    "in_flight",
    "unaccounted",
    "conflicting",
    "duplicates_flagged",
    "duplicates_unflagged",
    "unknown_units",
    "unreadable",
    "outlived",
    "rejected",
    "not_routed",
)
"""The fields of `pipeline.accounts.balance.Balance` that are shown, as the label ``state``."""


def accounts_service(every: float = EVERY) -> Service:
    """The service that takes the balance every `every` seconds."""

    async def serve(runtime: Runtime) -> None:
        async with Background() as background:
            background.start(sample_lag(runtime.settings.kafka, runtime.metrics, runtime.health))
            await unless_stopped(runtime.stopping, _repeat(runtime, every))

    return serve


async def _repeat(runtime: Runtime, every: float) -> None:
    while True:
        await until_available(
            "accounts", lambda: take(runtime.metrics), away=(Unavailable,), health=runtime.health, cap=60.0
        )
        await asyncio.sleep(every)


async def take(metrics: Metrics) -> None:
    """Take the balance once and show it.

    Raises:
        Unavailable: it could not be taken; the gauges stay as they were.
    """
    began = time.monotonic()
    balance = await _balance()
    for state in STATES:
        metrics.accounts.labels(state).set(balance[state])
    metrics.accounts_taken_at.set_to_current_time()
    metrics.accounts_seconds.set(time.monotonic() - began)
    if not balance["ok"]:
        logger.error("the accounts do not balance; `pipeline accounts` lists what is wrong")


async def _balance() -> dict[str, int]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "accounts", "--json", stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        told, trouble = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    try:
        everything = msgspec.json.decode(told, type=dict[str, object])
    except msgspec.DecodeError:
        why = trouble.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"cannot take the balance: {why[-1] if why else f'exit code {child.returncode}'}") from None
    return {name: int(count) for name, count in everything.items() if isinstance(count, int)}
