"""A short chaos run as a user starts it: any fault, the three accounts, the file and the exit code."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.real_broker, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
RUN = ("--seconds", "25", "--rate", "100", "--seed", "4")
FIGURES = {
    "produced",
    "lost",
    "unaccounted",
    "duplicates_flagged",
    "duplicates_unflagged",
    "faults",
    "longest_stall_s",
}


def test_a_short_run_accounts_for_everything_and_writes_its_figures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = msgspec.json.decode((tmp_path / "build" / "chaos.json").read_bytes())
    assert set(results) == FIGURES
    assert results["faults"], "nothing broke"
    assert results["produced"] == 2_500
    assert results["lost"] == results["unaccounted"] == results["duplicates_unflagged"] == 0
