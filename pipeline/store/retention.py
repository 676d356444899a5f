"""Deletes what is older than its category is kept: of inboxes, and of the store's days."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import asyncpg

from pipeline.config.retention import RetentionSettings
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

EVERY = "*"

AT_ONCE = 5_000
"""Inbox rows deleted in one statement."""


class Rule(NamedTuple):
    """What was made before `before` goes, of this category; or of every category but `others`."""

    category: str
    others: list[str]
    before: date


class Retention:
    """One pass after the other; each day of the store is looked through once a day, inboxes at each pass."""

    def __init__(self, pool: Pool, settings: RetentionSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._swept: set[tuple[str, str]] = set()
        self._swept_on: date | None = None

    async def once(self, today: date, partitions: Mapping[str, date]) -> int:
        """Delete what is too old today; `partitions` are the store's days by table name. How many rows went.

        Raises:
            Unavailable: PostgreSQL is away; what was deleted so far stays so.
        """
        if self._swept_on != today:
            self._swept, self._swept_on = set(), today
        deleted = 0
        for rule in _rules(self._settings.inbox, today):
            deleted += await self._inbox(rule)
        for rule in _rules(self._settings.history, today):
            for table, day in partitions.items():
                if day < rule.before and (table, rule.category) not in self._swept:
                    deleted += await self._day(table, rule)
                    self._swept.add((table, rule.category))
        return deleted

    async def _inbox(self, rule: Rule) -> int:
        before, deleted = datetime.combine(rule.before, time(), UTC), 0
        while True:
            with reachable():
                answer = await self._pool.execute(
                    sql("expire_inbox"), rule.category, rule.others, before, AT_ONCE, timeout=60
                )
            gone = int(answer.rpartition(" ")[2])
            deleted += gone
            if gone < AT_ONCE:
                return deleted

    async def _day(self, table: str, rule: Rule) -> int:
        statement = sql("expire_store_day").replace("{table}", f'"{table}"')
        with reachable():
            try:
                answer = await self._pool.execute(statement, rule.category, rule.others, timeout=600)
            except asyncpg.UndefinedTableError:  # archived and dropped meanwhile
                return 0
        return int(answer.rpartition(" ")[2])


def _rules(days: Mapping[str, int], today: date) -> list[Rule]:
    """A whole day is kept longer than said rather than shorter."""
    named = [category for category in days if category != EVERY]
    return [Rule(category, named, today - timedelta(days=kept)) for category, kept in days.items()]
