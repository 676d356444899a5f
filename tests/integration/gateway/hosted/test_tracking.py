"""Opens and clicks: what is told, once; who is not tracked; and that a link leads nowhere but where it was signed for."""

import pytest

from pipeline.channels.tracking import Click, Open, sign_click, sign_open
from pipeline.config import Settings
from pipeline.events.references import Reference
from pipeline.gateway.service import now_ms
from pipeline.gateway.tracking.routes import PIXEL
from tests.integration.gateway.hosted.conftest import TRACKING_SECRET, Guest
from tests.integration.gateway.hosted.told import told

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

SECRET = TRACKING_SECRET.encode()
SHOP = "https://shop.example.com/a?b=c&d=%2F#e"
OTHER = "https://shop.example.com/other"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
APPLE = "Mozilla/5.0"


def pixel(reference: Reference, age: float = 60) -> str:
    return "/t/o/" + sign_open(Open(reference, now_ms() - int(age * 1000)), SECRET)


def link(reference: Reference, url: str = SHOP, age: float = 60) -> str:
    return "/t/c/" + sign_click(Click(url, Open(reference, now_ms() - int(age * 1000))), SECRET)


async def get(guest: Guest, path: str, agent: str = FIREFOX, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    headers = {"User-Agent": agent}
    async with guest.desk.session.request(method, guest.url + path, headers=headers, allow_redirects=False) as response:
        return response.status, dict(response.headers), await response.read()


async def test_opens_and_clicks_are_told_once_for_each_notification_and_link(guest: Guest, hosted: Settings) -> None:
    one, two = guest.reference(), guest.reference()
    for _ in range(3):
        status, headers, body = await get(guest, pixel(one))
        assert (status, headers["Content-Type"], body) == (200, "image/gif", PIXEL)
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin", "a web mailer could not show it"
        assert "no-store" in headers["Cache-Control"]
        for url in (SHOP, OTHER):
            status, headers, _ = await get(guest, link(one, url))
            assert (status, headers["Location"]) == (302, url)
    await get(guest, pixel(two))
    found = await told(hosted.kafka, guest.user_id, 4)
    expected = [(one, "clicked"), (one, "clicked"), (one, "opened"), (two, "opened")]
    assert sorted((s.notification_id, str(s.status), str(s.reason)) for s in found) == sorted(
        (reference.notification_id, status, "reported") for reference, status in expected
    )
    assert not [s for s in found if "shop.example.com" in repr(s)], "a link is content"


async def test_what_a_machine_did_is_marked_and_hides_no_person(guest: Guest, hosted: Settings) -> None:
    mail = guest.reference()
    await get(guest, pixel(mail), APPLE)
    await get(guest, link(mail, age=0))
    await get(guest, link(mail), method="HEAD")
    await get(guest, pixel(mail))
    found = await told(hosted.kafka, guest.user_id, 3)
    assert sorted((s.status, s.reason, s.provider) for s in found) == [
        ("clicked", "by_machine", "too_soon"),
        ("opened", "by_machine", "apple_mail_privacy"),
        ("opened", "reported", ""),
    ]


async def test_who_opted_out_is_not_told_of_and_gets_there_all_the_same(
    guest: Guest, another: Guest, hosted: Settings
) -> None:
    await guest.change(preferences=[{"channel": "*", "type": "tracking", "enabled": False}])
    assert (await get(guest, link(guest.reference())))[1]["Location"] == SHOP
    assert (await get(another, link(another.reference("orders"))))[1]["Location"] == SHOP, "not a tracked category"
    last = another.reference()
    await get(another, pixel(last))
    (only,) = await told(hosted.kafka, another.user_id, 1)
    assert only.notification_id == last.notification_id
    assert await told(hosted.kafka, guest.user_id, 0) == [], "what came in before is told before"


async def test_a_link_that_we_did_not_sign_leads_nowhere(guest: Guest) -> None:
    message = Open(guest.reference(), 0)
    forged = sign_click(Click("https://evil.example", message), b"another secret")
    script = sign_click(Click("javascript:alert(1)", message), SECRET)
    for token in (forged, sign_open(message, SECRET), script, "x", "https:%2F%2Fevil.example"):
        for method in ("GET", "HEAD"):
            status, headers, _ = await get(guest, f"/t/c/{token}?url=https://evil.example", method=method)
            assert (status, "Location" in headers) == (404, False), token
    assert (await get(guest, f"/t/o/{forged}"))[0] == 404
