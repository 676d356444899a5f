"""Opens and clicks: what is told, once; who is not tracked; and that a link leads nowhere but where it was signed for."""

import time
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.channels.tracking import Click, Open, sign_click, sign_open
from pipeline.config import Settings, TrackingSettings
from pipeline.gateway.tracking.routes import PIXEL
from tests.integration.gateway.conftest import Desk
from tests.integration.gateway.test_pages import REFERENCE
from tests.integration.gateway.told import told

pytestmark = pytest.mark.broker

SECRET = b"tracking-secret-of-these-tests"
SHOP = "https://shop.example.com/a?b=c&d=%2F#e"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
APPLE = {"User-Agent": "Mozilla/5.0"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"tracking": TrackingSettings(secret=SecretStr(SECRET.decode()))})


def message(number: int = 0, age: float = 60, category: str = "marketing") -> Open:
    fields: dict[str, Any] = {name: getattr(REFERENCE, name) for name in REFERENCE.__struct_fields__}
    stream = "marketing" if category == "marketing" else "transactional"
    fields |= {"notification_id": f"{number:08d}-0000-5000-8000-000000000000", "category": category, "stream": stream}
    return Open(type(REFERENCE)(**fields), int((time.time() - age) * 1000))


async def get(desk: Desk, path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    async with desk.session.request(method, desk.url + path, headers=headers, allow_redirects=False) as response:
        return response.status, dict(response.headers), await response.read()


def pixel(of: Open) -> str:
    return "/t/o/" + sign_open(of, SECRET)


def link(of: Open, url: str = SHOP) -> str:
    return "/t/c/" + sign_click(Click(url, of), SECRET)


async def test_opens_and_clicks_are_told_once_for_each_notification_and_link(desk: Desk, settings: Settings) -> None:
    await desk.call("PUT", "/v1/users/alice", json={"email": "alice@example.com"})
    await desk.call("PUT", "/v1/users/bob", json={"email": "bob@example.com"})
    for _ in range(3):
        status, headers, body = await get(desk, pixel(message()), FIREFOX)
        assert (status, headers["Content-Type"], body) == (200, "image/gif", PIXEL)
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin", "a web mailer could not show it"
        assert "no-store" in headers["Cache-Control"]
        for url in (SHOP, "https://shop.example.com/other"):
            status, headers, _ = await get(desk, link(message(), url), FIREFOX)
            assert (status, headers["Location"]) == (302, url)
    await get(desk, pixel(message(1)), FIREFOX)
    found = await told(settings.kafka, 4)
    assert sorted((s.notification_id[:8], s.status, s.reason) for s in found) == [
        ("00000000", "clicked", "reported"),
        ("00000000", "clicked", "reported"),
        ("00000000", "opened", "reported"),
        ("00000001", "opened", "reported"),
    ]
    assert not [s for s in found if "shop.example.com" in repr(s)], "a link is content"


async def test_what_a_machine_did_is_marked_and_hides_no_person(desk: Desk, settings: Settings) -> None:
    await desk.call("PUT", "/v1/users/alice", json={"email": "alice@example.com"})
    await get(desk, pixel(message()), APPLE)
    await get(desk, link(message(age=0)), FIREFOX)
    await get(desk, link(message()), FIREFOX, method="HEAD")
    await get(desk, pixel(message()), FIREFOX)
    found = await told(settings.kafka, 3)
    assert sorted((s.status, s.reason, s.provider) for s in found) == [
        ("clicked", "by_machine", "too_soon"),
        ("opened", "by_machine", "apple_mail_privacy"),
        ("opened", "reported", ""),
    ]


async def test_who_opted_out_or_is_in_an_untracked_category_is_not_told_of_and_gets_there_all_the_same(
    desk: Desk, settings: Settings
) -> None:
    await desk.call("PUT", "/v1/users/alice", json={"email": "alice@example.com"})
    rows = [{"channel": "*", "type": "tracking", "enabled": False}]
    await desk.call("PATCH", "/v1/users/alice/preferences", json={"preferences": rows})
    assert (await get(desk, link(message()), FIREFOX))[1]["Location"] == SHOP
    await desk.call("PATCH", "/v1/users/alice/preferences", json={"preferences": [{**rows[0], "enabled": None}]})
    assert (await get(desk, link(message(category="orders")), FIREFOX))[1]["Location"] == SHOP
    await get(desk, pixel(message(7)), FIREFOX)
    (only,) = await told(settings.kafka, 1)
    assert only.notification_id.startswith("00000007")


async def test_a_link_that_we_did_not_sign_leads_nowhere(desk: Desk) -> None:
    forged = sign_click(Click("https://evil.example", message()), b"another secret")
    opened = sign_open(message(), SECRET)
    script = sign_click(Click("javascript:alert(1)", message()), SECRET)
    for token in (forged, opened, script, "x", "https:%2F%2Fevil.example"):
        for method in ("GET", "HEAD"):
            status, headers, _ = await get(desk, f"/t/c/{token}?url=https://evil.example", FIREFOX, method)
            assert (status, "Location" in headers) == (404, False), token
    assert (await get(desk, f"/t/o/{forged}", FIREFOX))[0] == 404
