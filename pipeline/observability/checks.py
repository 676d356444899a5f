"""Looks at everything that the pipeline depends on, one finding each, with what to do about it."""

import asyncio
from collections.abc import Iterable
from importlib.resources import files

import psycopg
from redis.exceptions import RedisError

from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings, Settings
from pipeline.errors import PipelineError, Unavailable
from pipeline.kafka.names import ALL_TOPICS, IN_APP_CHANNEL
from pipeline.kafka.topology import missing_topics
from pipeline.observability.finding import Finding, Level
from pipeline.observability.lag import OffsetReader, Offsets
from pipeline.observability.mail_checks import examine_mail
from pipeline.observability.push_checks import examine_push
from pipeline.observability.redaction import redact
from pipeline.observability.sms_checks import examine_sms
from pipeline.storage.redis import open_redis
from pipeline.storage.scripts import sql
from pipeline.storage.slots import subscribers

__all__ = ["Finding", "Level", "depth_findings", "examine"]

CONNECT_SECONDS = 3


async def examine(settings: Settings) -> list[Finding]:
    """All findings, most fundamental first. Never raises for what is away: that is a finding."""
    kafka, redis, postgres, push, mail, sms = await asyncio.gather(
        asyncio.to_thread(examine_kafka, settings.kafka),
        examine_redis(settings.redis),
        asyncio.to_thread(examine_postgres, settings.postgres),
        examine_push(settings.providers),
        examine_mail(settings),
        examine_sms(settings),
    )
    return [*kafka, *redis, *postgres, *push, *mail, *sms]


def examine_kafka(kafka: KafkaSettings) -> list[Finding]:
    """Whether it answers and has all topics; then queue depth, lag and dead letters."""
    try:
        missing = missing_topics(kafka)
    except Unavailable as error:
        return [Finding("kafka", Level.FAIL, str(error), "start Kafka or correct the address")]
    found = [Finding("kafka", Level.OK, f"answers at {kafka.bootstrap_servers}")]
    if missing:
        return [*found, Finding("topics", Level.FAIL, f"missing: {', '.join(missing)}", "pipeline topics apply")]
    found.append(Finding("topics", Level.OK, f"all {len(ALL_TOPICS)} are there"))
    try:
        return [*found, *depth_findings(OffsetReader(kafka).read())]
    except Unavailable as error:
        return [*found, Finding("lag", Level.FAIL, str(error), "look at the brokers' logs")]


def depth_findings(offsets: Offsets) -> Iterable[Finding]:
    """One for each consumer group that is behind and each dead-letter topic that has open ones; pure."""
    behind = [progress for progress in offsets.progress if progress.lag]
    for progress in behind:
        yield Finding(
            f"lag {progress.group}",
            Level.WARN,
            f"{progress.lag} records of {progress.topic} not finished",
            "if it does not fall: is the service running, is its provider up? else add replicas",
        )
    if not behind:
        yield Finding("lag", Level.OK, f"none in {len(offsets.progress)} consumer groups; the queues are empty")
    letters = {topic: depth for topic, depth in offsets.depths.items() if depth}
    for topic, depth in letters.items():
        remedy = f"pipeline dlq list --topic {topic}; once the cause is mended, pipeline dlq replay"
        yield Finding(f"dead letters {topic}", Level.WARN, f"{depth} open", remedy)
    if not letters:
        yield Finding("dead letters", Level.OK, "none")


async def examine_redis(settings: RedisSettings) -> list[Finding]:
    """Whether it answers, and how many gateways listen for in-app notifications."""
    try:
        async with open_redis(settings) as redis:
            await redis.ping()
            listening = await subscribers(redis, IN_APP_CHANNEL)
    except (RedisError, OSError, PipelineError) as error:
        detail = f"cannot reach {redact(settings.url)}: {redact(str(error))}"
        return [Finding("redis", Level.FAIL, detail, "start it or set PIPELINE_REDIS__URL")]
    return [
        Finding("redis", Level.OK, f"answers at {redact(settings.url)}"),
        Finding("in-app subscribers", Level.OK, f"{listening} on {IN_APP_CHANNEL}"),
    ]


def examine_postgres(settings: PostgresSettings) -> list[Finding]:
    """Whether it answers and has every migration."""
    dsn = settings.dsn.get_secret_value()
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS) as connection:
            done = {str(row[0]) for row in connection.execute(sql("applied_migrations"))}
    except psycopg.errors.UndefinedTable:
        done = set()
    except psycopg.Error as error:
        detail = f"cannot reach {redact(dsn)}: {' '.join(redact(str(error)).split())}"
        return [Finding("postgresql", Level.FAIL, detail, "start it or set PIPELINE_POSTGRES__DSN")]
    answers = Finding("postgresql", Level.OK, f"answers at {redact(dsn)}")
    if missing := [name for name in _migrations() if name not in done]:
        return [answers, Finding("migrations", Level.FAIL, f"missing: {', '.join(missing)}", "pipeline migrate")]
    return [answers, Finding("migrations", Level.OK, f"all {len(done)} applied")]


def _migrations() -> list[str]:
    folder = files("pipeline.storage").joinpath("migrations")
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".sql") for name in names if name.endswith(".sql") and ".rollback." not in name)
