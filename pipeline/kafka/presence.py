"""A service starts working when the topics that it needs are there; until then it says which ones are not."""

import asyncio
from collections.abc import Collection

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.topology import missing_topics
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available


async def wait_for_topics(kafka: KafkaSettings, topics: Collection[str], health: Health) -> None:
    """Wait until the cluster answers and has all of `topics`; logs and readiness say what is missing."""

    async def check() -> None:
        missing = await asyncio.to_thread(missing_topics, kafka, topics)
        if missing:
            raise Unavailable(f"missing topics: {', '.join(missing)} (create them: pipeline topics apply)")

    await until_available("kafka", check, away=(Unavailable,), health=health, where=kafka.bootstrap_servers)
