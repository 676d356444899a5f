"""What can happen to a running line, each undone before the next comes."""

import random
import signal
import time
from collections.abc import Callable, Sequence

from pipeline.embedded.line import Line
from pipeline.embedded.processes import Child
from pipeline.embedded.servers import Restartable

PAUSE = 3.0
"""Seconds for which something is away."""

Fault = Callable[[], None]


def possible_faults(line: Line) -> dict[str, Fault]:
    """By name: every service killed, stopped in good order and paused; Kafka killed, PostgreSQL stopped."""
    faults: dict[str, Fault] = {}
    for name, child in line.services.items():
        faults[f"kill {name}"] = lambda child=child: _kill(child)  # type: ignore[misc]
        faults[f"stop {name}"] = lambda child=child: _stop(child)  # type: ignore[misc]
        faults[f"pause {name}"] = lambda child=child: _pause(child)  # type: ignore[misc]
    if line.stack.broker.kind.real and (broker := line.stack.broker.server):
        faults["kill kafka"] = lambda: _away(broker, broker.kill)
    if database := line.stack.postgres.server:
        faults["stop postgresql"] = lambda: _away(database, database.stop)
    return faults


def draw(faults: dict[str, Fault], rnd: random.Random) -> tuple[str, Fault]:
    """One of them; each kind of thing as often as another."""
    victims: dict[str, list[str]] = {}
    for name in faults:
        victims.setdefault(name.split()[1], []).append(name)
    name = rnd.choice(victims[rnd.choice(sorted(victims))])
    return name, faults[name]


def revive(children: Sequence[Child]) -> list[str]:
    """Start again whatever ended by itself; says what, and how."""
    ended = [f"{child.name} ended by itself: {child.poll()}" for child in children if not child.running]
    for child in children:
        child.start()
    return ended


def _kill(child: Child) -> None:
    child.kill()
    child.start()


def _stop(child: Child) -> None:
    child.stop()
    child.start()


def _pause(child: Child) -> None:
    child.signal(signal.SIGSTOP)
    time.sleep(PAUSE)
    child.signal(signal.SIGCONT)


def _away(server: Restartable, end: Callable[[], None]) -> None:
    end()
    time.sleep(PAUSE)
    server.start()
