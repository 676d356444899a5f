import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml

from pipeline.testing.providers import Providers
from tests.integration.providers.servers import prism_server

PRISM = "5.16.0"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of the providers' published contracts."""
    folder = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).parents[4] / "shared" / "contracts"))
    if not folder.is_dir():
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{folder} is missing: set CONTRACTS_DIR")
        pytest.skip(f"{folder} is missing: set CONTRACTS_DIR")
    return folder


@pytest.fixture(scope="session")
def twilio_contract(contracts: Path) -> Any:
    """Twilio's OpenAPI document: 1.5 MB, read once."""
    return yaml.load((contracts / "twilio_api_v2010.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)


@pytest.fixture
async def simulated() -> AsyncIterator[Providers]:
    async with Providers(seed=1) as providers:
        yield providers


@pytest.fixture(scope="session")
def prism_command() -> str:
    """Stoplight's Prism, installed by npm once into the user's cache."""
    if found := shutil.which("prism"):
        return found
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("Prism needs node and npm, and they are not here")
    folder = platformdirs.user_cache_path("notification-pipeline") / f"prism-{PRISM}"
    command = folder / "node_modules" / ".bin" / "prism"
    if not command.exists():
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        done = subprocess.run([*install, f"@stoplight/prism-cli@{PRISM}"], capture_output=True, text=True, check=False)
        if done.returncode:
            (pytest.fail if IN_CI else pytest.skip)(f"npm cannot install Prism: {done.stderr[-300:]}")
    return str(command)


@pytest.fixture
async def prism(
    prism_command: str, contracts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """Prism mocking one contract and refusing what is not in it; its address."""
    async with prism_server(prism_command, contracts / request.param, tmp_path / "prism.log") as url:
        yield url
