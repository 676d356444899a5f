"""Pytest fixtures for your own tests: put ``pytest_plugins = ["pipeline.testing.pytest_plugin"]`` into conftest.py.

See ``docs/testing-your-integration.md``.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from pipeline.testing.process import SimulatorProcess
from pipeline.testing.providers import Providers

RECEIPTS_TO = "simulated_receipts_to"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``simulated_receipts_to``: the gateway that both fixtures' simulators tell what became of messages."""
    text = "base URL of a gateway; the simulators send receipts there, by signed webhooks (none: they send none)"
    parser.addini(RECEIPTS_TO, text, default="")


@pytest_asyncio.fixture
async def simulated_providers(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> AsyncIterator[Providers]:
    """All simulators in this process, and the environment that points ``Settings.load()`` at them."""
    async with Providers(seed=1, receipts_to=str(pytestconfig.getini(RECEIPTS_TO))) as providers:
        for name, value in providers.environment().items():
            monkeypatch.setenv(name, value)
        yield providers


@pytest.fixture
def simulator_process(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Iterator[SimulatorProcess]:
    """All simulators in a process of their own, and the environment that points ``pipeline`` at them."""
    with SimulatorProcess("--seed", "1", "--receipts-to", str(pytestconfig.getini(RECEIPTS_TO))) as process:
        for name, value in process.environment.items():
            monkeypatch.setenv(name, value)
        yield process
