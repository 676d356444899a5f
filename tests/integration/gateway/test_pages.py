"""Unsubscribe page, one click, preference page: what they say, and what is so afterwards."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from pydantic import SecretStr

from pipeline.channels.unsubscribe import PreferenceLink, Unsubscribe, sign, sign_preferences
from pipeline.config import CatalogueSettings, EmailSettings, Settings, TrackingSettings
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel, Priority
from pipeline.storage.postgres import Pool
from tests.integration.gateway.conftest import CATALOGUE, Desk
from tests.integration.gateway.told import told

pytestmark = pytest.mark.broker

SECRET = b"unsubscribe-secret-of-these-tests"
ALICE = "/v1/users/alice"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
REFERENCE = Reference(
    notification_id="0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c",
    event_id="evt_1",
    idempotency_key="key",
    recipient_id="alice",
    event_type="marketing.newsletter",
    category="marketing",
    source="shop",
    channel=Channel.EMAIL,
    priority=Priority.LOW,
    stream="marketing",
    rule="allowed",
    policy_version="1",
    created_at=1,
)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a second marketing category, so that there is something to stop as a whole."""
    text = yaml.safe_load(CATALOGUE.read_text("utf-8"))
    text["categories"]["surveys"] = {"stream": "marketing", "title": {"en": "Surveys"}}
    text["event_types"]["survey.*"] = {"category": "surveys", "channels": ["email", "push"]}
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.yaml"
    path.write_text(yaml.safe_dump(text), "utf-8")
    return path


@pytest.fixture
def settings(settings: Settings, catalogue: Path) -> Settings:
    return settings.model_copy(
        update={
            "email": EmailSettings(unsubscribe_secret=SecretStr(SECRET.decode())),
            "tracking": TrackingSettings(secret=SecretStr("tracking-secret")),
            "catalogue": CatalogueSettings(path=catalogue),
        }
    )


@pytest.fixture
async def alice(desk: Desk) -> Desk:
    await desk.call("PUT", ALICE, json={"email": "alice@example.com", "locale": "en-GB", "timezone": "Europe/London"})
    await desk.call("PATCH", f"{ALICE}/preferences", json={"consents": {"marketing": True}})
    return desk


def unsubscribe_link(category: str = "marketing", **fields: Any) -> str:
    return "/u/" + sign(Unsubscribe("alice", category, Channel.EMAIL, fields.get("reference")), SECRET)


def preference_link(user_id: str = "alice", age: float = 0) -> str:
    return "/p/" + sign_preferences(PreferenceLink(user_id, int((time.time() - age) * 1000)), SECRET)


async def page(desk: Desk, method: str, path: str, form: object = None, **headers: str) -> tuple[int, str]:
    sent: Any = list(form.items()) if isinstance(form, Mapping) else form
    async with desk.session.request(method, desk.url + path, data=sent, headers=headers) as response:
        assert "form-action 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.text()


async def is_on(desk: Desk, type_: str, channel: str = "email") -> tuple[bool, str]:
    path = f"{ALICE}/preferences?type={type_}&channel={channel}"
    (found,) = (await desk.call("GET", path)).json["effective"]
    return found["enabled"], found["reason"]


async def test_opening_the_page_changes_nothing_and_shows_a_button(alice: Desk) -> None:
    for _ in range(2):
        status, text = await page(alice, "GET", unsubscribe_link())
        assert status == 200
        assert "News and offers" in text
        assert '<form method="post">' in text
    assert await is_on(alice, "marketing.newsletter") == (True, "allowed")


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
async def test_one_click_unsubscribes_at_once_and_for_good(
    alice: Desk, settings: Settings, pool: Pool, encoding: str
) -> None:
    link = unsubscribe_link(reference=REFERENCE)
    for _ in range(2):
        form: object = ONE_CLICK
        if encoding == "multipart":
            form = aiohttp.FormData(default_to_multipart=True)
            form.add_field("List-Unsubscribe", "One-Click")
        assert (await page(alice, "POST", link, form))[0] == 200
    assert await is_on(alice, "marketing.newsletter") == (False, "no_consent")
    row = await pool.fetchrow(
        "SELECT enabled, source FROM user_notification_preferences WHERE (channel, notif_type) = ('email', 'marketing')"
    )
    assert tuple(row or ()) == (False, "one_click")
    consent = await pool.fetchrow("SELECT granted, source, wording_version, at FROM user_consents ORDER BY id DESC")
    assert tuple(consent or ())[:3] == (False, "one_click", "2026-01")
    (status,) = await told(settings.kafka, 1)
    assert (status.status, status.reason, status.notification_id) == (
        "unsubscribed",
        "opted_out",
        REFERENCE.notification_id,
    )


async def test_a_type_that_was_turned_on_by_itself_is_off_too_and_other_categories_stay(alice: Desk) -> None:
    rows = [{"channel": "email", "type": "survey.short", "enabled": True}]
    await alice.call("PATCH", f"{ALICE}/preferences", json={"preferences": rows})
    status, text = await page(alice, "POST", unsubscribe_link("surveys"), {"scope": "category"})
    assert (status, "You have unsubscribed" in text) == (200, True)
    assert await is_on(alice, "survey.short") == (False, "opted_out")
    assert await is_on(alice, "survey.short", "push") == (False, "no_address")
    assert await is_on(alice, "marketing.newsletter") == (True, "allowed")


async def test_all_marketing_can_be_stopped_and_taken_up_again(alice: Desk, pool: Pool) -> None:
    assert (await page(alice, "POST", unsubscribe_link("surveys"), {"scope": "stream"}))[0] == 200
    assert await is_on(alice, "marketing.newsletter") == (False, "address_suppressed")
    assert await is_on(alice, "order.shipped") == (True, "allowed")
    assert [r["reason"] for r in await pool.fetch("SELECT reason FROM suppressions")] == ["unsubscribe"]
    _, text = await page(alice, "GET", preference_link())
    assert re.search(r'value="stop:email" checked', text)
    status, _ = await page(alice, "POST", preference_link(), [("shown", "stop:email")])
    assert status == 200, "it leads back to the page"
    assert await is_on(alice, "marketing.newsletter") == (True, "allowed")


@pytest.mark.parametrize("form", [{}, {"scope": "everything"}, {"List-Unsubscribe": "Two-Click"}])
async def test_another_form_changes_nothing(alice: Desk, form: dict[str, str]) -> None:
    status, _ = await page(alice, "POST", unsubscribe_link(), form or {"x": ""})
    assert status == 400
    assert await is_on(alice, "marketing.newsletter") == (True, "allowed")


async def test_a_link_that_is_not_ours_is_told_in_the_readers_language(alice: Desk) -> None:
    good = unsubscribe_link()
    for path in (good[:-1], good.replace("/u/", "/p/"), preference_link().replace("/p/", "/u/"), "/u/%00", "/p/x"):
        for method, form in (("GET", None), ("POST", ONE_CLICK)):
            status, text = await page(alice, method, path, form, **{"Accept-Language": "de-AT"})
            assert status == 404, path
            assert "Dieser Link funktioniert nicht" in text
            assert '<html lang="de"' in text


async def test_who_was_erased_gets_the_same_answer_and_no_row(desk: Desk, pool: Pool) -> None:
    assert (await page(desk, "POST", unsubscribe_link(), ONE_CLICK))[0] == 200
    assert await pool.fetchval("SELECT count(*) FROM user_notification_preferences") == 0
    assert (await page(desk, "GET", preference_link()))[0] == 404


async def test_an_old_preference_link_has_expired_and_an_unsubscribe_link_never_does(alice: Desk) -> None:
    assert (await page(alice, "GET", preference_link(age=89 * 86_400)))[0] == 200
    status, text = await page(alice, "GET", preference_link(age=91 * 86_400))
    assert (status, "too old" in text) == (410, True)


async def test_what_is_chosen_counts_and_says_where_it_was_chosen(alice: Desk, pool: Pool) -> None:
    shown = ["email:orders", "in_app:orders", "consent:marketing", "quiet", "tracking"]
    form = [("shown", name) for name in shown] + [("on", "in_app:orders"), ("on", "quiet")]
    form += [("quiet_start", "22:30"), ("quiet_end", "06:00")]
    async with alice.session.post(alice.url + preference_link(), data=form) as response:
        assert response.status == 200
        assert response.url.query_string == "saved"
        assert "Your choice is saved" in await response.text()
    assert await is_on(alice, "order.shipped") == (False, "opted_out")
    assert await is_on(alice, "order.shipped", "in_app") == (True, "allowed")
    assert await is_on(alice, "marketing.newsletter") == (False, "no_consent")
    stored = (await alice.call("GET", f"{ALICE}/preferences")).json["preferences"]
    assert {
        "channel": "*",
        "type": "*",
        "enabled": None,
        "quiet_hours": {"start": "22:30", "end": "06:00", "timezone": None},
    } in stored
    assert {"channel": "*", "type": "tracking", "enabled": False, "quiet_hours": None} in stored
    sources = await pool.fetch("SELECT DISTINCT source FROM user_notification_preferences")
    assert [row["source"] for row in sources] == ["preference_page"]
    consent = await pool.fetchrow("SELECT granted, source, wording_version FROM user_consents ORDER BY id DESC")
    assert tuple(consent or ()) == (False, "preference_page", "2026-01")


async def test_wrong_times_are_told_and_nothing_is_saved(alice: Desk) -> None:
    form = [("shown", "email:orders"), ("shown", "quiet"), ("on", "quiet"), ("quiet_start", "25:00")]
    status, text = await page(alice, "POST", preference_link(), form)
    assert (status, 'role="alert"' in text) == (400, True)
    assert await is_on(alice, "order.shipped") == (True, "allowed")


async def test_what_is_filled_in_cannot_become_markup(alice: Desk) -> None:
    await alice.call("PATCH", ALICE, json={"locale": "en"})
    link = "/u/" + sign(Unsubscribe("alice", "<script>alert(1)</script>", Channel.EMAIL), SECRET)
    _, text = await page(alice, "GET", link)
    assert "<script" not in text
