"""The push worker with APNs beside bare aioapns, both over TLS against the same server that costs little."""

import asyncio
from pathlib import Path

from bench.cluster import bench_line
from bench.figures import Figure, figure
from bench.worker import ROUNDS, USERS, median, one_device_users, push_round
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.servers import free_port
from pipeline.storage.postgres import open_pool
from pipeline.testing.apns import ProviderTokens

PEER = "bare aioapns"


def run() -> list[Figure]:
    """Messages a second, the median of `ROUNDS` rounds in which ours and the peer take turns."""
    port = free_port()
    with bench_line(Plan(simulators=None, workers=(), router=False)) as line:
        certificate, key = _serve(line, port)
        line.environment.update(
            {
                "PIPELINE_PROVIDERS__APNS__BASE_URL": f"https://127.0.0.1:{port}",
                "PIPELINE_PROVIDERS__APNS__CA_CERTIFICATES": str(certificate),
                "PIPELINE_PROVIDERS__APNS__SIGNING_KEY": str(key),
                "PIPELINE_PROVIDERS__APNS__KEY_ID": "BENCHBENCH",
                "PIPELINE_PROVIDERS__APNS__TEAM_ID": "BENCHTEAM1",
                "PIPELINE_PROVIDERS__APNS__TOPIC": "com.example.app",
            }
        )
        asyncio.run(load_users(line.settings, USERS))
        users = asyncio.run(_with_one_phone(line))
        peer = {"BENCH_PORT": str(port), "BENCH_CERTIFICATE": str(certificate), "BENCH_KEY": str(key)}
        rounds = [push_round(line, users, number, "aioapns_loop", peer) for number in range(ROUNDS + 1)][1:]
    ours, theirs = (median([r[i] for r in rounds]) for i in range(2))
    return [
        figure("worker.apns", "messages/s", ours.rate, theirs.rate, PEER),
        figure("worker.apns_cpu", "CPU µs/message", ours.cpu_us, theirs.cpu_us, PEER),
    ]


def _serve(line: Line, port: int) -> tuple[Path, Path]:
    """Start the server; its certificate, and a signing key that it does not look at."""
    folder = line.stack.supervisor.directory
    line.stack.supervisor.python("fast-apns", "-m", "bench.fast_apns", str(port), str(folder))
    key = folder / "bench-key.p8"
    ProviderTokens().write_key(key)
    return folder / "local-certificate.pem", key


async def _with_one_phone(line: Line) -> list[str]:
    """Users with one device, now an Apple one that is reached through APNs."""
    users = await one_device_users(line)
    async with await open_pool(line.settings.postgres) as pool:
        await pool.execute("UPDATE devices SET platform = 'ios', token = encode(sha256(token::bytea), 'hex')")
    return users
