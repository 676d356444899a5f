"""The mail worker beside a bare aiosmtplib loop, both against the same relay that costs next to nothing."""

import asyncio
import random
from pathlib import Path

from bench.cluster import Run, bench_line, produce_all, run_peer, watch
from bench.dispatches import dispatch_of, dispatch_record
from bench.figures import Figure, figure
from pipeline.channels.email import EmailPart, EmailSender
from pipeline.channels.rendering import Renderer
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.servers import free_port
from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.providers.mailers import open_mailer
from pipeline.storage.postgres import open_pool
from pipeline.templates.store import TemplateStore
from pipeline.users.snapshot import UserSnapshot

USERS = 5_000
MESSAGES = 20_000
ROUNDS = 3


def run() -> list[Figure]:
    """Mails a second, the median of `ROUNDS` rounds in which ours and the peer take turns."""
    port = free_port()
    relay = {"PIPELINE_PROVIDERS__SMTP__BASE_URL": f"smtp://127.0.0.1:{port}"}
    with bench_line(Plan(simulators=None, workers=(), router=False, environment=relay)) as line:
        line.stack.supervisor.python("smtp-sink", "-m", "bench.smtp_sink", str(port))
        asyncio.run(load_users(line.settings, USERS))
        reachable = asyncio.run(_with_an_address(line))
        peer = {
            "BENCH_PORT": str(port),
            "BENCH_EVENTS": str(MESSAGES),
            "BENCH_MAIL": str(_ready_mail(line)),
            "BENCH_CONNECTIONS": str(line.settings.providers.smtp.connections),
        }
        rounds = [_round(line, reachable, peer, number) for number in range(ROUNDS + 1)][1:]
    ours, theirs = (sorted((r[i] for r in rounds), key=lambda run: run.rate)[len(rounds) // 2] for i in range(2))
    return [
        figure("worker.smtp", "mails/s", ours.rate, theirs.rate, "bare aiosmtplib loop"),
        figure("worker.smtp_cpu", "CPU µs/mail", ours.cpu_us, theirs.cpu_us, "bare aiosmtplib loop"),
    ]


def _round(line: Line, users: list[str], peer: dict[str, str], number: int) -> tuple[Run, Run]:
    kafka, name = line.settings.kafka, "worker-email"
    if name in line.services:
        line.services[name].stop()
    produce_all(kafka, _records(users, number))
    if name in line.services:
        line.services[name].start()
    else:
        line.start(name, "worker", "--channel", "email", "--priority", "normal")
    ours = watch(kafka, line.services[name], DELIVERY_STATUS, MESSAGES)
    return ours, run_peer(line, "smtp_loop", environment=peer)


def _records(users: list[str], number: int) -> list[Record]:
    rnd = random.Random(number)
    chosen = [(rnd.choice(users), f"bench_{number}_{n}") for n in range(MESSAGES)]
    return [dispatch_record(user, key, Channel.EMAIL) for user, key in chosen]


def _ready_mail(line: Line) -> Path:
    """What the worker sends, as a file: the peer sends the same bytes again and again."""
    settings = line.settings
    renderer = Renderer(TemplateStore.load(settings.catalogue.templates, [Channel.EMAIL]), Channel.EMAIL)
    provider = open_mailer("smtp", settings.providers, timeout=1)
    sender = EmailSender(renderer, provider, _NoSuppressions(), settings.email, public_url=settings.http.public_url)
    user = UserSnapshot(user_id="user", version=1, known=True, email="user@example.com")
    (part,) = sender.prepare(dispatch_of("user", "mail", Channel.EMAIL), user)
    assert isinstance(part.payload, EmailPart)
    path = line.stack.supervisor.directory / "bench-mail.eml"
    path.write_bytes(part.payload.mail.content)
    return path


class _NoSuppressions:
    async def add(self, *arguments: object) -> None:
        """Nothing bounces here."""


async def _with_an_address(line: Line) -> list[str]:
    async with await open_pool(line.settings.postgres) as pool:
        rows = await pool.fetch("SELECT user_id FROM users WHERE email IS NOT NULL")
    return [row["user_id"] for row in rows]
