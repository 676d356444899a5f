import os
from pathlib import Path

import pytest

from pipeline.templates.store import TemplateStore

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def examples() -> TemplateStore:
    return TemplateStore.load(REPOSITORY / "examples" / "templates")


@pytest.fixture(scope="session")
def github_events() -> list[str]:
    """Real webhook events, one JSON text each."""
    folder = Path(os.environ.get("DATA_DIR", REPOSITORY.parent / "shared" / "data"))
    file = folder / "github-events.jsonl"
    if not file.is_file():
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{file} is missing: set DATA_DIR")
        pytest.skip(f"{file} is missing: set DATA_DIR")
    return file.read_text("utf-8").splitlines()
