"""The gateway beside a bare aiohttp handler that produces the same bytes and waits for the acknowledgement."""

import asyncio
import json
import secrets
import time
import urllib.error
import urllib.request
from typing import NamedTuple

from bench.cluster import bench_line
from bench.figures import Figure, figure
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.servers import free_port
from pipeline.errors import Unavailable
from pipeline.gateway.auth.keys import SECRET_BYTES, format_key, hash_secret
from pipeline.storage.api_keys import ApiKeys, NewApiKey
from pipeline.storage.postgres import open_pool

EVENTS = 10_000
ROUNDS = 3
SECONDS = 6
"""How long the load at half of our capacity lasts."""

PEER = "bare aiohttp handler"


class Measured(NamedTuple):
    """What one load saw: answers a second, latencies in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


def run() -> list[Figure]:
    """Requests a second at capacity, the median of `ROUNDS` in which ours and the peer take turns, after one unmeasured.

    Then the 99th percentile of the latency at half of our capacity, of both at that same rate.
    """
    ours_port, peer_port = free_port(), free_port()
    environment = {"PIPELINE_GATEWAY__PORT": str(ours_port)}
    with bench_line(Plan(simulators=None, router=False, workers=(), environment=environment)) as line:
        token = asyncio.run(_make_key(line))
        line.start("gateway", "gateway")
        line.await_ready()
        line.stack.supervisor.python(
            "peer-gateway",
            "-m",
            "bench.peers.bare_gateway",
            environment={**line.environment, "BENCH_PORT": str(peer_port)},
        )
        _await(peer_port)
        ports = (ours_port, peer_port)
        rounds = [[_load(line, port, token, f"r{n}", EVENTS, 0) for port in ports] for n in range(ROUNDS + 1)][1:]
        ours, peer = (sorted(r[i].rate for r in rounds)[ROUNDS // 2] for i in range(2))
        half = ours / 2
        calm = [[_load(line, port, token, f"h{n}", int(half * SECONDS), half) for port in ports] for n in range(ROUNDS)]
        ours_p99, peer_p99 = (sorted(c[i].p99_ms for c in calm)[ROUNDS // 2] for i in range(2))
    return [
        figure("gateway.rate", "requests/s", ours, peer, PEER),
        figure("gateway.p99", "ms at half of our capacity", ours_p99, peer_p99, f"{PEER} at the same rate"),
    ]


def _load(line: Line, port: int, token: str, tag: str, events: int, rate: float) -> Measured:
    child = line.stack.supervisor.python(
        f"load-{port}-{time.monotonic_ns()}",
        "-m",
        "bench.peers.http_load",
        environment={
            "BENCH_URL": f"http://127.0.0.1:{port}",
            "BENCH_TOKEN": token,
            "BENCH_TAG": f"{tag}-{port}",
            "BENCH_EVENTS": str(events),
            "BENCH_RATE": str(rate),
        },
    )
    if child.wait(300):
        raise Unavailable(f"the load failed:\n{child.log_tail()}")
    return Measured(**json.loads(child.log_tail(1)))


async def _make_key(line: Line) -> str:
    secret = secrets.token_bytes(SECRET_BYTES)
    new = NewApiKey(
        key_id=secrets.token_hex(6),
        name="bench",
        scopes=["ingest"],
        secret_hash=hash_secret(secret),
        rate=1_000_000,
        burst=1_000_000,
    )
    async with await open_pool(line.settings.postgres) as pool:
        return format_key((await ApiKeys(pool).add(new)).key_id, secret)


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise Unavailable("the bare handler did not start")
