"""A Redis connection that packs commands in C.

The asyncio client packs each argument in Python, which for the router's MGET of some thousand keys costs more than
all of Redis does. The library's synchronous client packs through hiredis; this borrows that.
"""

from redis.asyncio import Connection
from redis.connection import HiredisRespSerializer
from redis.typing import EncodableT

_serializer = HiredisRespSerializer()


class PackingConnection(Connection):
    """`Connection`, but for the packing. Of no use over TLS, where the client chooses a class of its own."""

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        packed: list[bytes] = _serializer.pack(*args)  # type: ignore[arg-type]  # its annotation is wrong
        return packed
