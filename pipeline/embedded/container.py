"""Apache Kafka in a container, where a Docker engine answers quickly."""

import os
import socket
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

import docker
from docker.errors import APIError, DockerException
from docker.utils import parse_host
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from pipeline.embedded.kafka_node import KAFKA_VERSION, answers, node_properties
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.servers import Restartable, free_port, wait_until
from pipeline.errors import Unavailable

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
ENGINE_TIMEOUT = 2
API_VERSION = "1.44"
"""Only for the first knock: without one, the client asks for it before anybody can close its connection."""


def obstacle() -> str | None:
    """Why no container can be started; None if an engine answers, be it that it speaks another version."""
    try:
        _knock(urlsplit(parse_host(os.environ.get("DOCKER_HOST"))))
        with closing(docker.from_env(version=API_VERSION, timeout=ENGINE_TIMEOUT)) as client:
            client.ping()
    except APIError:
        return None
    except (DockerException, RequestException, OSError):
        return f"no engine answers within {ENGINE_TIMEOUT} s"
    return None


def _knock(host: SplitResult) -> None:
    """Connect and leave: the client does not close a connection that fails."""
    if host.scheme == "http+unix":
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ENGINE_TIMEOUT)
            connection.connect(host.path)
    elif host.scheme in ("http", "https", "tcp"):
        socket.create_connection((host.hostname, host.port), ENGINE_TIMEOUT).close()


def open_kafka(supervisor: Supervisor) -> tuple[str, Restartable]:
    """Start it and return its address and the server.

    Raises:
        Unavailable: the image cannot be had, or Kafka in it does not start.
    """
    try:
        server = _Container()
    except (DockerException, RequestException) as error:
        raise Unavailable(f"{IMAGE} does not start: {error}") from error
    supervisor.on_close(server.remove)
    server.wait()
    return server.bootstrap, server


class _Container:
    """The same port inside and outside, so that a restart keeps the address.

    testcontainers' own reaper removes the container if this process dies.
    """

    def __init__(self) -> None:
        port = free_port()
        self._container = DockerContainer(IMAGE).with_bind_ports(port, port)
        host = self._container.get_docker_client().host()
        self.bootstrap = f"{host}:{port}"
        properties = node_properties(listen="", advertised=host, port=port, controller_port=free_port())
        for name, value in properties.items():
            self._container.with_env(environment_name(name), value)
        self._container.start()

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self.wait()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        self._container.stop()

    def wait(self) -> None:
        wait_until(lambda: answers(self.bootstrap), f"{IMAGE} does not answer at {self.bootstrap}")


def environment_name(property_name: str) -> str:
    """How the image spells a property as a variable: ``log.dirs`` is ``KAFKA_LOG_DIRS``."""
    return "KAFKA_" + property_name.upper().replace(".", "_")
