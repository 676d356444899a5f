"""Kafka, PostgreSQL and Valkey together: all that the services of one laptop need."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pipeline.embedded.broker import ADDRESS as KAFKA_ADDRESS
from pipeline.embedded.broker import Broker, open_broker
from pipeline.embedded.postgres import ADDRESS as POSTGRES_ADDRESS
from pipeline.embedded.postgres import Postgres, open_postgres
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import ADDRESS as REDIS_ADDRESS
from pipeline.embedded.valkey import Valkey, open_valkey


@dataclass(frozen=True)
class Stack:
    """Three running servers; `supervisor` owns those that were started here. Use as a context manager."""

    supervisor: Supervisor
    broker: Broker
    postgres: Postgres
    valkey: Valkey

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Start what the environment does not name, all at once.

        Raises:
            ConfigurationError: a server can neither be found nor started here; says what to install or to set.
            Unavailable: a server does not start; with its last lines.
        """
        supervisor = Supervisor()
        try:
            return cls(supervisor, *_open_all(supervisor, environ))
        except BaseException:
            supervisor.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what was started here and remove its data."""
        self.supervisor.close()

    def environment(self) -> dict[str, str]:
        """The variables that point a service at this stack."""
        return {
            KAFKA_ADDRESS: self.broker.bootstrap,
            POSTGRES_ADDRESS: self.postgres.dsn,
            REDIS_ADDRESS: self.valkey.url,
        }


def _open_all(supervisor: Supervisor, environ: Mapping[str, str]) -> tuple[Broker, Postgres, Valkey]:
    with ThreadPoolExecutor(3) as pool:
        try:
            broker = pool.submit(open_broker, supervisor, environ)
            postgres = pool.submit(open_postgres, supervisor, environ)
            valkey = pool.submit(open_valkey, supervisor, environ)
            return broker.result(), postgres.result(), valkey.result()
        except BaseException:
            supervisor.stop()  # and with the servers end the threads that wait for them
            raise
