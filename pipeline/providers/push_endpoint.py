"""Where a web push subscription may point. Its endpoint comes from a browser: without a guard it is a way into our network.

Two walls: the host must be one of the push services that the settings name, and what its name resolves to must be a
public address, at the moment of connecting, so that a name cannot change between the look and the connection.
"""

import fnmatch
import ipaddress
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL


class EndpointRefused(Exception):
    """The endpoint must not be called; the text names what is wrong and never the endpoint's path."""


def check_endpoint(endpoint: URL, allowed_hosts: Sequence[str], *, insecure: bool) -> None:
    """Check scheme and host.

    Raises:
        EndpointRefused: it is no https:// address of one of `allowed_hosts`. `insecure` allows http:// as well.
    """
    host = (endpoint.host or "").lower().rstrip(".")
    if endpoint.scheme != "https" and not (insecure and endpoint.scheme == "http"):
        raise EndpointRefused(f"scheme {endpoint.scheme}: push services speak https")
    if not any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in allowed_hosts):
        raise EndpointRefused(f"host {host} is not in providers.webpush.allowed_hosts")
    if not insecure and is_private(host):
        raise EndpointRefused(f"host {host} is a private address")


def is_private(host: str) -> bool:
    """Whether `host` is an address that is not of the public internet; False for names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_global or (mapped or address).is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp has it.

        Raises:
            OSError: the name has no public address.
        """
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if not is_private(result["host"])]
        if not public:
            raise OSError(None, f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()
