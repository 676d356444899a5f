import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pipeline.config.push import PUSH_SERVICES
from pipeline.providers.push_endpoint import EndpointRefused, PublicResolver, check_endpoint, is_private

ALLOWED = PUSH_SERVICES.split()


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://wns2-par02p.notify.windows.com/w/?token=abc",
        "https://web.push.apple.com/abc",
        "https://FCM.googleapis.com./fcm/send/abc",
    ],
)
def test_the_push_services_of_browsers_are_allowed(endpoint: str) -> None:
    check_endpoint(URL(endpoint), ALLOWED, insecure=False)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/fcm/send/abc",
        "https://fcm.googleapis.com.evil.example/abc",
        "https://evil.example/fcm.googleapis.com",
        "https://notify.windows.com.evil.example/",
        "https://xfcm.googleapis.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "ftp://fcm.googleapis.com/",
    ],
)
def test_anything_else_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointRefused):
        check_endpoint(URL(endpoint), ALLOWED, insecure=False)


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "192.168.0.1",
    "172.16.0.1",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - nothing listens
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_our_own_network_is_refused_even_where_every_host_is_allowed(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(EndpointRefused, match="private"):
        check_endpoint(URL(f"https://{host}/x"), ["*"], insecure=False)
    check_endpoint(URL(f"http://{host}/x"), ["*"], insecure=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "fcm.googleapis.com"])
def test_a_public_address_is_not_private(address: str) -> None:
    assert not is_private(address)


class Names(AbstractResolver):
    """Every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_into_our_network_is_not_resolved(address: str) -> None:
    with pytest.raises(OSError, match="no public address"):
        await PublicResolver(Names(address)).resolve("push.example.com", 443)


async def test_of_several_addresses_only_the_public_ones_are_used() -> None:
    found = await PublicResolver(Names("10.0.0.1", "8.8.8.8")).resolve("push.example.com", 443)
    assert [result["host"] for result in found] == ["8.8.8.8"]
