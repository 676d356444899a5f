"""The JWKS over a real socket: rotation, cool-down, a server that is away."""

import json
from collections.abc import AsyncIterator

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.config import JwtSettings
from pipeline.errors import Unavailable
from pipeline.gateway.auth.jwks import Jwks


class Server:
    """Serves `keys`; `away` makes it fail."""

    def __init__(self) -> None:
        self.keys: list[dict[str, object]] = []
        self.away = False
        self.requests = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(status=500) if self.away else web.json_response({"keys": self.keys})


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, Time, Jwks]]:
    server, time = Server(), Time()
    application = web.Application()
    application.router.add_get("/jwks", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    async with aiohttp.ClientSession() as session:
        yield server, time, Jwks(JwtSettings(jwks_url=url, jwks_ttl=300, jwks_cooldown=5), session, time)
    await runner.cleanup()


def rsa_key(key_id: str, **more: object) -> dict[str, object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key)), "kid": key_id, **more}


async def test_a_rotated_key_is_found_without_waiting_for_the_old_ones_to_age(
    served: tuple[Server, Time, Jwks],
) -> None:
    server, time, jwks = served
    server.keys = [rsa_key("old")]
    assert await jwks.find("RS256", "old")
    server.keys = [rsa_key("new")]
    time.now = 6
    assert await jwks.find("RS256", "new")
    assert await jwks.find("RS256", "old") is None
    assert server.requests == 2, "the second look for an unknown key fell into the cool-down"


async def test_keys_that_age_are_fetched_again_and_withdrawn_ones_are_gone(served: tuple[Server, Time, Jwks]) -> None:
    server, time, jwks = served
    server.keys = [rsa_key("a")]
    assert await jwks.find("RS256", "a")
    server.keys = []
    time.now = 299
    assert await jwks.find("RS256", "a")
    time.now = 300
    assert await jwks.find("RS256", "a") is None


async def test_a_server_that_is_away_leaves_the_known_keys_good(served: tuple[Server, Time, Jwks]) -> None:
    server, time, jwks = served
    server.away = True
    with pytest.raises(Unavailable):
        await jwks.find("RS256", "a")
    server.away, server.keys, time.now = False, [rsa_key("a")], 10
    assert await jwks.find("RS256", "a")
    server.away, time.now = True, 1_000
    assert await jwks.find("RS256", "a")


async def test_symmetric_keys_encryption_keys_and_other_curves_are_left_out(served: tuple[Server, Time, Jwks]) -> None:
    server, _time, jwks = served
    p384 = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    server.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        rsa_key("encrypts", use="enc"),
        rsa_key("stronger", alg="RS512"),
        {**p384, "kid": "p384"},
        {"kty": "RSA", "kid": "broken"},
    ]
    for algorithm in ("RS256", "ES256"):
        for key_id in (None, "secret", "encrypts", "stronger", "p384", "broken"):
            assert await jwks.find(algorithm, key_id) is None
