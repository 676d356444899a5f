"""The gateway beside a bare aiohttp handler that produces the same bytes and waits for the acknowledgement."""

import asyncio
import json
import secrets
import time
import urllib.error
import urllib.request
from typing import NamedTuple

import psutil

from bench.cluster import bench_line
from bench.figures import Figure, figure
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.processes import Child
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
    """What one load saw: answers a second, latencies in milliseconds; and the server's processor time for a request."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class Server(NamedTuple):
    """A process that is measured, and where it listens."""

    child: Child
    port: int

    def cpu(self) -> float:
        times = psutil.Process(self.child.pid).cpu_times()
        return float(times.user + times.system)


def run() -> list[Figure]:
    """Requests a second at capacity, the median of `ROUNDS` in which ours and the peer take turns, after one unmeasured.

    Then the 99th percentile of the latency at half of our capacity, of both at that same rate.
    """
    ours_port, peer_port = free_port(), free_port()
    environment = {"PIPELINE_GATEWAY__PORT": str(ours_port)}
    with bench_line(Plan(simulators=None, router=False, workers=(), environment=environment)) as line:
        token = asyncio.run(_make_key(line))
        gateway = line.start("gateway", "gateway")
        line.await_ready()
        bare = line.stack.supervisor.python(
            "peer-gateway",
            "-m",
            "bench.peers.bare_gateway",
            environment={**line.environment, "BENCH_PORT": str(peer_port)},
        )
        _await(peer_port)
        both = (Server(gateway, ours_port), Server(bare, peer_port))
        rounds = [[_load(line, server, token, f"r{n}", EVENTS, 0) for server in both] for n in range(ROUNDS + 1)][1:]
        ours, peer = (_median([r[i].rate for r in rounds]) for i in range(2))
        ours_cpu, peer_cpu = (_median([r[i].cpu_us for r in rounds]) for i in range(2))
        half = ours / 2
        calm = [
            [_load(line, server, token, f"h{n}", int(half * SECONDS), half) for server in both] for n in range(ROUNDS)
        ]
        ours_p99, peer_p99 = (_median([c[i].p99_ms for c in calm]) for i in range(2))
    return [
        figure("gateway.rate", "requests/s", ours, peer, PEER),
        figure("gateway.cpu", "CPU µs/request", ours_cpu, peer_cpu, PEER),
        figure("gateway.p99", "ms at half of our capacity", ours_p99, peer_p99, f"{PEER} at the same rate"),
    ]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _load(line: Line, server: Server, token: str, tag: str, events: int, rate: float) -> Measured:
    port, cpu_before = server.port, server.cpu()
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
    cpu_us = (server.cpu() - cpu_before) / events * 1e6
    return Measured(**json.loads(child.log_tail(1)), cpu_us=cpu_us)


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
