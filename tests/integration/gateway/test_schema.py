"""Every operation of ``/openapi.json``, driven by schemathesis: no 5xx, and no answer that is not described."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import Desk

pytestmark = pytest.mark.broker

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "ignored_auth",
    "unsupported_method",
)


@pytest.mark.timeout(400)
async def test_no_answer_is_a_server_error_or_undocumented(desk: Desk, tmp_path: Path) -> None:
    import asyncio

    key = await desk.key("admin", rate=100_000, burst=100_000)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{desk.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {key}",
        "--checks",
        ",".join(CHECKS),
        "--max-examples",
        os.environ.get("SCHEMA_EXAMPLES", "15"),
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "1",
        "--no-color",
    ]

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=380, check=False)

    result = await asyncio.to_thread(run)
    assert result.returncode == 0, result.stdout[-12_000:] + result.stderr[-2_000:]
