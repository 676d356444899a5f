"""A line for each test: every one of them takes it apart."""

import os
from collections.abc import Iterator

import pytest

from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.vocabulary import Channel
from tests.line.rig import Rig

DRAIN_TIMEOUT = 8.0

PLAN = Plan(
    simulators=("--delay-ms", "20"),
    workers=(Channel.PUSH,),
    environment={
        "PIPELINE_DELIVERY__PROVIDER_TIMEOUT": "3",
        "PIPELINE_DELIVERY__LEASE": "5",
        "PIPELINE_DELIVERY__DRAIN_TIMEOUT": str(DRAIN_TIMEOUT),
    },
)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Router and push worker, and a provider that takes 20 ms to answer, so that a kill finds requests in flight."""
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        line = open_line(stack, PLAN)
        line.await_ready()
        yield Rig(line)
