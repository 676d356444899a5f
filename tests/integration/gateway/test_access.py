"""Who may do what: every role on every route, and never anything of somebody else's."""

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.integration.gateway.conftest import Desk, as_user, event, user_token

pytestmark = pytest.mark.broker

ALICE = "/v1/users/alice"
ID = "11111111-1111-1111-1111-111111111111"

SERVICES = ("ingest", "read", "preferences", "admin")
ROLES = (*SERVICES, "alice", "bob", "nobody", "forged", "expired")


class Cell(NamedTuple):
    """One route, with a request that is in order, and who may make it."""

    method: str
    path: str
    allowed: frozenset[str]
    body: object = None


def may(*roles: str) -> frozenset[str]:
    return frozenset({*roles, "admin"})


EVERYBODY = frozenset(ROLES)
"""Of routes whose proof is a signed link."""

READ = may("read", "preferences", "alice")
CHANGE = may("preferences", "alice")

MATRIX = [
    Cell("POST", "/v1/events", may("ingest"), event()),
    Cell("GET", "/v1/events/e1", may("read")),
    Cell("DELETE", "/v1/events/e1", may("ingest")),
    Cell("GET", ALICE, READ),
    Cell("PUT", ALICE, CHANGE, {"email": "alice@example.com"}),
    Cell("PATCH", ALICE, CHANGE, {"timezone": "Europe/Berlin"}),
    Cell("GET", f"{ALICE}/preferences", READ),
    Cell("PUT", f"{ALICE}/preferences", CHANGE, {"preferences": []}),
    Cell("PATCH", f"{ALICE}/preferences", CHANGE, {"preferences": []}),
    Cell("GET", f"{ALICE}/devices", READ),
    Cell("POST", f"{ALICE}/devices", CHANGE, {"device_id": "d", "platform": "ios", "token": "t"}),
    Cell("PUT", f"{ALICE}/devices", CHANGE, {"devices": []}),
    Cell("PATCH", f"{ALICE}/devices", CHANGE, {"devices": []}),
    Cell("DELETE", f"{ALICE}/devices/d", CHANGE),
    Cell("GET", f"{ALICE}/inbox", READ),
    Cell("GET", f"{ALICE}/inbox/unread", READ),
    Cell("POST", f"{ALICE}/inbox/read", CHANGE, {"all": True}),
    Cell("GET", "/u/forged", EVERYBODY),
    Cell("POST", "/u/forged", EVERYBODY, {}),
    Cell("GET", "/p/forged", EVERYBODY),
    Cell("POST", "/p/forged", EVERYBODY, {}),
    Cell("GET", "/t/o/forged", EVERYBODY),
    Cell("GET", "/t/c/forged", EVERYBODY),
    Cell("HEAD", "/t/c/forged", EVERYBODY),
]


async def credentials(desk: Desk) -> Mapping[str, dict[str, str]]:
    forged = "ntf_" + "0" * 12 + "_" + "0" * 64
    return {
        **{scope: await desk.as_service(scope) for scope in SERVICES},
        "alice": as_user("alice"),
        "bob": as_user("bob"),
        "nobody": {},
        "forged": {"Authorization": f"Bearer {forged}"},
        "expired": {"Authorization": f"Bearer {user_token('alice', exp=1)}"},
    }


async def test_every_role_on_every_route(desk: Desk) -> None:
    headers = await credentials(desk)
    await desk.call("PUT", ALICE, json={"email": "alice@example.com"})
    for cell in MATRIX:
        for role in ROLES:
            answer = await desk.call(cell.method, cell.path, headers=headers[role], json=cell.body)
            if cell.allowed == EVERYBODY:
                expected = answer.status in (404, 415)
            elif role in ("nobody", "forged", "expired"):
                expected = answer.status == 401 and "WWW-Authenticate" in answer.headers
            elif role in cell.allowed:
                expected = answer.status not in (401, 403) and answer.status < 500
            else:
                expected = answer.status == 403
            assert expected, (cell.method, cell.path, role, answer)
            if answer.status in (401, 403):
                assert "example.com" not in str(answer.json)


async def test_the_matrix_has_every_route_that_there_is(desk: Desk) -> None:
    document = (await desk.call("GET", "/openapi.json", headers={})).json
    described = {
        (method.upper(), path.format(event_id="e1", user_id="alice", device_id="d", token="forged"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert described == {(cell.method, cell.path) for cell in MATRIX}


async def test_what_is_refused_has_changed_nothing(desk: Desk) -> None:
    await desk.call("PUT", ALICE, json={"email": "alice@example.com"})
    bob = as_user("bob")
    await desk.call("PUT", ALICE, headers=bob, json={"email": "bob@example.com"})
    await desk.call("PUT", ALICE, headers=await desk.as_service("read"), json={})
    await desk.call("PATCH", "/v1/users/%61lice", headers=bob, json={"email": "bob@example.com"})
    assert (await desk.call("GET", ALICE)).json["email"] == "alice@example.com"


async def test_a_path_that_only_looks_like_ones_own_is_not(desk: Desk) -> None:
    await desk.call("PUT", ALICE, json={"email": "alice@example.com"})
    for path in ("/v1/users/bob/../alice", "/v1/users/bob%2F..%2Falice", "/v1/users/bob%00", "/v1/users/bob/"):
        answer = await desk.call("GET", path, headers=as_user("bob"))
        assert answer.status in (400, 403, 404), path
        assert "alice@" not in str(answer.json)


async def test_ids_in_a_body_reach_only_ones_own_inbox(desk: Desk) -> None:
    assert (await desk.call("POST", f"{ALICE}/inbox/read", headers=as_user("bob"), json={"ids": [ID]})).status == 403
    own = await desk.call("POST", "/v1/users/bob/inbox/read", headers=as_user("bob"), json={"ids": [ID]})
    assert own.json == {"updated": 0, "unread": 0}


async def test_x_api_key_is_as_good_as_bearer(desk: Desk) -> None:
    key = await desk.key("read")
    assert (await desk.call("GET", f"{ALICE}/devices", headers={"X-API-Key": key})).status == 200
    assert (await desk.call("GET", f"{ALICE}/devices", headers={"X-API-Key": key + "0"})).status == 401
    assert (await desk.call("GET", f"{ALICE}/devices", headers={"Authorization": f"Basic {key}"})).status == 401


async def test_a_key_beyond_its_rate_is_told_to_wait(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {await desk.key('read', rate=0.1, burst=3)}"}
    answers = [await desk.call("GET", f"{ALICE}/devices", headers=headers) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10


async def test_a_key_beyond_its_quota_is_told_when_the_day_ends(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {await desk.key('ingest', quota=2)}"}
    two = [event(idempotency_key="a"), event(idempotency_key="b")]
    assert (await desk.call("POST", "/v1/events", headers=headers, json=two)).status == 202
    over = await desk.call("POST", "/v1/events", headers=headers, json=event(idempotency_key="c"))
    assert over.status == 429
    assert 0 < int(over.headers["Retry-After"]) <= 86_400
    repeated = await desk.call("POST", "/v1/events", headers=headers, json=event(idempotency_key="a"))
    assert repeated.status == 202, "what was accepted before costs nothing again"
