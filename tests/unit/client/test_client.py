"""What needs no server: what importing it costs, and the pauses between tries."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.client.retry import LONGEST, pause, seconds

HEAVY = ("faust", "firebase_admin", "aioapns", "asyncpg", "redis", "jinja2", "mjml", "aiohttp", "confluent_kafka")


def test_importing_the_client_imports_nothing_of_the_services() -> None:
    code = f"import sys, pipeline.client; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"


@settings(deadline=None)
@given(st.integers(1, 10_000), st.none() | st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_bounded_and_never_shorter_than_the_server_asks(
    tries: int, asked: float | None, chance: float
) -> None:
    assert (asked or 0.05) <= pause(tries, asked, chance) <= (asked or 0) + LONGEST


@settings(deadline=None)
@given(st.text(max_size=12))
def test_a_retry_after_is_whole_seconds_or_nothing(header: str) -> None:
    assert seconds(header) is None or seconds(header) == float(int(header))


def test_a_retry_after_of_two_seconds_is_two_seconds() -> None:
    assert seconds("2") == 2
    assert seconds("Wed, 21 Oct 2026 07:28:00 GMT") is None
