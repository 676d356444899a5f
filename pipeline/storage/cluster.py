"""The library's client of a Redis Cluster, made to bear what happens while a node is away."""

from collections.abc import Iterable
from typing import Any, Self

from redis.asyncio import RedisCluster, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError  # noqa: A004  # the library's own name

from pipeline.storage.packing import PackingConnection


class _Sturdy(AbstractConnection):
    """The library closes connections under those who use them when a node fails: that is a lost connection, like others."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except (AttributeError, RuntimeError) as error:
            raise ConnectionError("the connection was closed while a command was sent") from error

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except (AttributeError, RuntimeError) as error:
            raise ConnectionError("the connection was closed while an answer was awaited") from error


class _SturdyConnection(_Sturdy, PackingConnection):
    pass


class _SturdySSLConnection(_Sturdy, SSLConnection):
    pass


class PatientCluster(RedisCluster):
    """Connects when it is first used, as the client of one server does: a service may start before its cluster.

    The library closes itself, under the hands of all who wait for an answer, when a call finds a node gone and wants the
    nodes looked for anew. Here that only has them looked for; connections in use end with their call.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sturdy = _SturdySSLConnection if kwargs.get("ssl") else _SturdyConnection
        self.nodes_manager.connection_kwargs["connection_class"] = sturdy
        for node in self.startup_nodes:
            node.connection_class = sturdy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._initialize = False
        await super().aclose()

    async def aclose(self) -> None:
        """Have the nodes looked for before the next call."""
        self._initialize = True
