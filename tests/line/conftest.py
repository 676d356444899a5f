"""One line for all tests of this folder. Its topics fill up: a test looks at what its own events added."""

import os
from collections.abc import Iterator

import pytest

from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Line, Plan, open_line
from pipeline.embedded.stack import Stack
from tests.line.rig import Rig

KEPT_MAILS = 2_000


@pytest.fixture(scope="session")
def line() -> Iterator[Line]:
    """The whole pipeline on servers of its own, for its topics have the names that every test would use."""
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        line = open_line(stack, Plan(simulators=("--keep-mails", str(KEPT_MAILS))))
        line.await_ready()
        yield line


@pytest.fixture
def rig(line: Line) -> Rig:
    return Rig(line)
