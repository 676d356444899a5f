"""The push worker beside a bare aiohttp POST loop, both against the same server that costs next to nothing."""

import asyncio
import json
import random
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.cluster import Run, bench_line, produce_all, run_peer, watch
from bench.dispatches import dispatch_record
from bench.figures import Figure, figure
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.servers import free_port
from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.storage.postgres import open_pool

USERS = 5_000
MESSAGES = 30_000
ROUNDS = 3


def run() -> list[Figure]:
    """Messages a second, the median of `ROUNDS` rounds in which ours and the peer take turns."""
    port = free_port()
    server = {"PIPELINE_PROVIDERS__FCM__BASE_URL": f"http://127.0.0.1:{port}"}
    plan = Plan(simulators=None, workers=(), router=False, environment=server)
    with bench_line(plan) as line:
        line.stack.supervisor.python("fast-server", "-m", "bench.fast_server", str(port))
        line.environment["PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT"] = str(service_account(line, port))
        asyncio.run(load_users(line.settings, USERS))
        reachable = asyncio.run(one_device_users(line))
        url = f"http://127.0.0.1:{port}/v1/projects/bench/messages:send"
        rounds = [push_round(line, reachable, number, "post_loop", {"BENCH_URL": url}) for number in range(ROUNDS + 1)]
    rounds = rounds[1:]
    ours, peer = (median([r[i] for r in rounds]) for i in range(2))
    return [
        figure("worker.fcm", "messages/s", ours.rate, peer.rate, "bare aiohttp POST loop"),
        figure("worker.fcm_cpu", "CPU µs/message", ours.cpu_us, peer.cpu_us, "bare aiohttp POST loop"),
    ]


def push_round(
    line: Line, users: list[str], number: int, peer: str, peer_environment: dict[str, str]
) -> tuple[Run, Run]:
    """One run of the push worker over `MESSAGES` dispatches to `users`, then one of ``bench.peers.PEER``."""
    kafka = line.settings.kafka
    if "worker-push" in line.services:
        line.services["worker-push"].stop()
    produce_all(kafka, dispatches(users, str(number)))
    if "worker-push" in line.services:
        line.services["worker-push"].start()
    else:
        line.start("worker-push", "worker", "--channel", "push", "--priority", "normal")
    ours = watch(kafka, line.services["worker-push"], DELIVERY_STATUS, MESSAGES)
    return ours, run_peer(line, peer, environment={"BENCH_EVENTS": str(MESSAGES), **peer_environment})


def dispatches(users: list[str], tag: str) -> list[Record]:
    rnd = random.Random(tag)
    return [dispatch_record(rnd.choice(users), f"bench_{tag}_{number}", Channel.PUSH) for number in range(MESSAGES)]


async def one_device_users(line: Line) -> list[str]:
    """One device a user, so that a message is one request, as in the peer."""
    async with await open_pool(line.settings.postgres) as pool:
        rows = await pool.fetch("SELECT user_id FROM devices GROUP BY user_id HAVING count(*) = 1")
    return [row["user_id"] for row in rows]


def service_account(line: Line, port: int) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "project_id": "bench",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "client_email": "bench@bench.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    path = line.stack.supervisor.directory / "bench-account.json"
    path.write_text(json.dumps(account))
    return path


def median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
