import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.testing.providers import Providers


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of the providers' published contracts."""
    folder = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).parents[4] / "shared" / "contracts"))
    if not folder.is_dir():
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{folder} is missing: set CONTRACTS_DIR")
        pytest.skip(f"{folder} is missing: set CONTRACTS_DIR")
    return folder


@pytest.fixture
async def simulated() -> AsyncIterator[Providers]:
    async with Providers(seed=1) as providers:
        yield providers
