"""Looks at everything that the pipeline depends on, one finding each, with what to do about it."""

import asyncio

from pipeline.catalogue.loader import load_catalogue
from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.observability.account_checks import examine_accounts
from pipeline.observability.finding import Finding, Level
from pipeline.observability.kafka_checks import depth_findings, examine_kafka
from pipeline.observability.postgres_checks import examine_postgres
from pipeline.observability.redis_checks import examine_redis
from pipeline.observability.registry_checks import examine_registry
from pipeline.observability.settings_checks import settings_findings

__all__ = [
    "Finding",
    "Level",
    "depth_findings",
    "examine",
    "examine_kafka",
    "examine_postgres",
    "examine_redis",
    "refused_settings",
]


async def examine(settings: Settings) -> list[Finding]:
    """All findings, most fundamental first. Never raises for what is away: that is a finding."""
    kafka, registry, redis, postgres, accounts = await asyncio.gather(
        asyncio.to_thread(examine_kafka, settings.kafka),
        examine_registry(settings.kafka),
        examine_redis(settings.redis),
        asyncio.to_thread(examine_postgres, settings.postgres),
        examine_accounts(settings),
    )
    own = [*settings_findings(settings), _catalogue(settings)]
    return [*own, *kafka, *registry, *redis, *postgres, *accounts]


def refused_settings(error: ConfigurationError) -> list[Finding]:
    """The one finding where settings cannot be read at all: nothing else can be looked at."""
    return [Finding("configuration", Level.FAIL, str(error), "correct it; docs/configuration.md names every setting")]


def _catalogue(settings: Settings) -> Finding:
    try:
        catalogue = load_catalogue(settings.catalogue.path)
    except ConfigurationError as error:
        return Finding("catalogue", Level.FAIL, str(error), "pipeline catalogue check (PIPELINE_CATALOGUE__PATH)")
    return Finding("catalogue", Level.OK, f"policy version {catalogue.policy_version}, {settings.catalogue.path}")
