"""What can happen to a running line; each undoes itself after a while."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from redis import Redis

from pipeline.embedded.processes import Child
from pipeline.embedded.servers import Restartable
from pipeline.events.vocabulary import Channel
from pipeline.testing.behaviour import Behaviour
from pipeline.testing.behaviour import Fault as Trouble
from tests.line.rig import Rig

AWAY = (1.0, 5.0)
"""Seconds for which something is away, at least and at most."""

PAST_SESSION = 12.0
"""A frozen process stands still for so many seconds more: its group has given its partitions to nobody, or another."""

CALM = Behaviour(delay_ms=20, delay="exponential")
"""How the providers behave when nothing is the matter."""

TROUBLES = {
    "down": Behaviour(faults={Trouble.UNAVAILABLE: 1.0}),
    "slow": Behaviour(delay_ms=1_500, delay="exponential"),
    "throttle": Behaviour(delay_ms=20, faults={Trouble.THROTTLED: 0.7}),
    "reset": Behaviour(delay_ms=20, faults={Trouble.RESET_BEFORE: 0.1, Trouble.RESET_AFTER: 0.2}),
    "late": Behaviour(delay_ms=20, faults={Trouble.LATE: 0.2, Trouble.NO_ANSWER: 0.05}, late_after=7.0),
}

ENDED = "ended by itself"

Fault = Callable[[float], None]
"""Does its harm, and has undone it when it returns, after about so many seconds."""


def possible_faults(rig: Rig) -> dict[str, Fault]:
    """By name, "VERB VICTIM": services, Kafka, PostgreSQL, Redis and the providers. Servers only where they are ours."""
    line, stack = rig.line, rig.line.stack
    faults = {name: fault for child in line.services.values() for name, fault in _of_service(child)}
    faults |= {f"scale worker-{c}": _scale(rig, c) for c in Channel if f"worker-{c}" in line.services}
    if stack.broker.kind.real and (broker := stack.broker.server):
        faults["kill kafka"] = lambda s: _away(s, broker, broker.kill)
        faults["stop kafka"] = lambda s: _away(s, broker, broker.stop)
    if database := stack.postgres.server:
        faults["stop postgresql"] = lambda s: _away(s, database, database.stop)
    faults["flush redis"] = lambda _s: _flush(stack.valkey.url)
    if redis := stack.valkey.server:
        workers = [child for name, child in line.services.items() if name.startswith("worker-")]
        faults["kill redis"] = lambda s: _away(s, redis, redis.kill)
        faults["kill-with-workers redis"] = lambda s: _kill_all(s, redis, workers)
    for name, behaviour in TROUBLES.items():
        faults[f"{name} providers"] = lambda s, behaviour=behaviour: _misbehave(s, rig, behaviour)  # type: ignore[misc]
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
    ended = [f"{child.name} {ENDED}: {child.poll()}" for child in children if not child.running]
    for child in children:
        child.start()
    return ended


def _of_service(child: Child) -> Iterator[tuple[str, Fault]]:
    yield f"kill {child.name}", lambda _s: _kill(child)
    yield f"stop {child.name}", lambda _s: _stop(child)
    yield f"pause {child.name}", lambda s: _pause(s, child)
    yield f"freeze {child.name}", lambda s: _pause(s + PAST_SESSION, child)


def _kill(child: Child) -> None:
    child.kill()
    child.start()


def _stop(child: Child) -> None:
    child.stop()
    child.start()


def _pause(seconds: float, child: Child) -> None:
    child.signal(signal.SIGSTOP)
    time.sleep(seconds)
    child.signal(signal.SIGCONT)


def _scale(rig: Rig, channel: Channel) -> Fault:
    """One worker more for a while: its partitions move there and back."""

    def scale(seconds: float) -> None:
        name = f"worker-{channel}-more"
        child = rig.line.start(name, "worker", "--channel", channel)
        time.sleep(seconds + AWAY[1])
        child.stop()
        del rig.line.services[name]

    return scale


def _away(seconds: float, server: Restartable, end: Callable[[], None]) -> None:
    end()
    time.sleep(seconds)
    server.start()


def _flush(url: str) -> None:
    with Redis.from_url(url) as redis:
        redis.flushall()


def _kill_all(seconds: float, redis: Restartable, workers: Sequence[Child]) -> None:
    """The ledger forgets all, and with the workers goes what they had in mind."""
    for worker in workers:
        worker.signal(signal.SIGKILL)
    redis.kill()
    for worker in workers:
        worker.kill()
    time.sleep(seconds)
    redis.start()
    for worker in workers:
        worker.start()


def _misbehave(seconds: float, rig: Rig, behaviour: Behaviour) -> None:
    rig.behave(behaviour)
    time.sleep(seconds)
    rig.behave(CALM)
