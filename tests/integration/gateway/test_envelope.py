"""What every answer has: ids, headers, problem documents; and what browsers may."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from pipeline.config import GatewaySettings, JwtSettings, PostgresSettings
from tests.integration.gateway.conftest import SECRET, Desk, as_user, event

pytestmark = pytest.mark.broker

APP = "https://app.example.com"


@pytest.fixture
def gateway_settings() -> GatewaySettings:
    jwt = JwtSettings.model_validate({"hs256_secret": SECRET})
    return GatewaySettings(port=0, cors_origins=f"{APP}, https://other.example.com", key_cache=0.2, jwt=jwt)


async def test_every_answer_is_guarded_and_has_an_id(desk: Desk) -> None:
    for path in ("/v1/users/alice/inbox", "/nowhere", "/healthz", "/openapi.json", "/docs", "/docs/docs.js"):
        answer = await desk.call("GET", path, headers=as_user("alice"))
        assert len(answer.headers["X-Request-ID"]) == 32
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    given = await desk.call("GET", "/nowhere", headers={"X-Request-ID": "from-upstream.1"})
    assert given.headers["X-Request-ID"] == given.json["request_id"] == "from-upstream.1"
    odd = await desk.call("GET", "/nowhere", headers={"X-Request-ID": "<script>"})
    assert "<" not in odd.headers["X-Request-ID"]


async def test_what_is_not_there_and_what_cannot_be_done_are_problem_documents(desk: Desk) -> None:
    missing = await desk.call("GET", "/nowhere", headers={})
    assert (missing.status, missing.json["status"], missing.json["title"]) == (404, 404, "Not Found")
    wrong = await desk.call("PUT", "/v1/events", headers={}, json=event())
    assert (wrong.status, "POST" in wrong.headers["Allow"]) == (405, True)
    assert wrong.headers["Content-Type"].startswith("application/problem+json")


async def test_only_listed_origins_may_call_from_a_browser(desk: Desk) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, status in ((APP, 204), ("https://evil.example.com", 403), ("null", 403)):
        preflight = await desk.call("OPTIONS", "/v1/events", headers={**ask, "Origin": origin})
        assert preflight.status == status
        assert preflight.headers.get("Access-Control-Allow-Origin") == (origin if status == 204 else None)
        real = await desk.call("GET", "/v1/users/alice/devices", headers={**as_user("alice"), "Origin": origin})
        assert real.headers.get("Access-Control-Allow-Origin") == (origin if status == 204 else None)
    with pytest.raises(ValueError, match="wildcard"):
        GatewaySettings(cors_origins="*")


async def test_health_and_metrics_are_there_and_name_no_person(desk: Desk) -> None:
    await desk.post_event(event(recipient_id="somebody-special"))
    await desk.call("GET", "/v1/users/somebody-special/devices")
    async with desk.session.get(desk.url + "/metrics") as response:
        text = await response.text()
    assert 'notifications_gateway_events_total{outcome="accepted"} 1.0' in text
    assert 'route="/v1/users/{user_id}/devices"' in text
    assert "somebody-special" not in text
    assert (await desk.call("GET", "/healthz", headers={})).status == 200


def run(settings: PostgresSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "keys", *arguments],
        env={**ours, "PIPELINE_POSTGRES__DSN": settings.dsn.get_secret_value()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_key_is_made_listed_rotated_and_revoked_by_command(
    desk: Desk, postgres_settings: PostgresSettings
) -> None:
    async def keys(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(run, postgres_settings, *arguments)

    async def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return (await desk.call("GET", "/v1/users/alice/devices", headers=headers)).status

    made = json.loads((await keys("create", "support tool", "--scope", "read", "--json")).stdout)
    assert await status(made["key"]) == 200
    rotated = json.loads((await keys("rotate", made["key_id"], "--json")).stdout)
    await asyncio.sleep(0.3)
    assert (await status(made["key"]), await status(rotated["key"])) == (200, 200)
    strict = json.loads((await keys("rotate", made["key_id"], "--grace", "0s", "--json")).stdout)
    await asyncio.sleep(0.3)
    assert (await status(rotated["key"]), await status(strict["key"])) == (401, 200)
    listed = await keys("list", "--json")
    assert [(key["name"], key["state"]) for key in json.loads(listed.stdout)] == [("support tool", "active")]
    assert strict["key"] not in listed.stdout
    assert "hash" not in listed.stdout
    assert (await keys("revoke", made["key_id"])).returncode == 0
    await asyncio.sleep(0.3)
    assert await status(strict["key"]) == 401
    for wrong in (("revoke", "nosuchkey"), ("rotate", made["key_id"]), ("create", "x", "--scope", "root")):
        refused = await keys(*wrong)
        assert (refused.returncode, refused.stderr.startswith("error: ")) == (1, True), refused
