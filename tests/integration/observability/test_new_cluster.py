"""A cluster that is just setting up its first group coordinator."""

import os
import subprocess
import sys

import pytest

from pipeline.config import KafkaSettings
from pipeline.embedded.broker import ADDRESS, FORCED, open_broker
from pipeline.embedded.processes import Supervisor
from pipeline.kafka.topology import apply_topics

READ = """
import sys
from pipeline.config import KafkaSettings
from pipeline.observability.lag import OffsetReader
print(sum(progress.lag for progress in OffsetReader(KafkaSettings(bootstrap_servers=sys.argv[1])).read().progress))
"""


@pytest.mark.real_broker
def test_reading_the_lag_while_the_coordinator_is_being_made_does_not_end_the_process() -> None:
    """librdkafka's own admin call ends it with a segmentation fault, every other time (librdkafka#5040)."""
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Supervisor() as supervisor:
        bootstrap = open_broker(supervisor, forced).bootstrap
        apply_topics(KafkaSettings(bootstrap_servers=bootstrap), partitions=1, replication_factor=1)
        environment = {**os.environ, ADDRESS: bootstrap}
        done = subprocess.run(
            [sys.executable, "-c", READ, bootstrap], env=environment, capture_output=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == b"0"
