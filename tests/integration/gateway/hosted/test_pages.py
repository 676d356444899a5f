"""Unsubscribe page, one click, preference page: what they say, and what is so afterwards."""

import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from pipeline.channels.unsubscribe import Unsubscribe, sign
from pipeline.config import Settings
from pipeline.events.vocabulary import Channel
from tests.integration.gateway.conftest import Desk
from tests.integration.gateway.hosted.conftest import UNSUBSCRIBE_SECRET, Guest
from tests.integration.gateway.hosted.told import told

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PREFERENCES = "SELECT channel, notif_type, enabled, source FROM user_notification_preferences WHERE user_id = $1"
CONSENTS = "SELECT granted, source, wording_version FROM user_consents WHERE user_id = $1 ORDER BY id"
SUPPRESSIONS = "SELECT channel, stream, reason FROM suppressions WHERE user_id = $1"


async def page(desk: Desk, method: str, path: str, form: object = None, **headers: str) -> tuple[int, str]:
    sent: Any = list(form.items()) if isinstance(form, Mapping) else form
    async with desk.session.request(method, desk.url + path, data=sent, headers=headers) as response:
        assert "form-action 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.text()


async def test_opening_the_page_changes_nothing_and_shows_a_button(guest: Guest) -> None:
    for _ in range(2):
        status, text = await page(guest.desk, "GET", guest.unsubscribe())
        assert status == 200
        assert "News and offers" in text
        assert '<form method="post">' in text
    assert await guest.is_on("marketing.newsletter") == (True, "allowed")


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
async def test_one_click_unsubscribes_at_once_and_is_told_once(guest: Guest, hosted: Settings, encoding: str) -> None:
    reference = guest.reference()
    link = guest.unsubscribe(reference=reference)
    for _ in range(2):
        form: object = ONE_CLICK
        if encoding == "multipart":
            form = aiohttp.FormData(default_to_multipart=True)
            form.add_field("List-Unsubscribe", "One-Click")
        assert (await page(guest.desk, "POST", link, form))[0] == 200
    assert await guest.is_on("marketing.newsletter") == (False, "no_consent")
    assert await guest.rows(PREFERENCES) == [
        {"channel": "email", "notif_type": "marketing", "enabled": False, "source": "one_click"}
    ]
    assert (await guest.rows(CONSENTS))[1:] == [{"granted": False, "source": "one_click", "wording_version": "2026-01"}]
    (status,) = await told(hosted.kafka, guest.user_id, 1)
    assert (status.status, status.reason) == ("unsubscribed", "opted_out")
    assert status.notification_id == reference.notification_id


async def test_a_type_that_was_turned_on_by_itself_is_off_too_and_other_categories_stay(guest: Guest) -> None:
    await guest.change(preferences=[{"channel": "email", "type": "survey.short", "enabled": True}])
    status, text = await page(guest.desk, "POST", guest.unsubscribe("surveys"), {"scope": "category"})
    assert (status, "You have unsubscribed" in text) == (200, True)
    assert await guest.is_on("survey.short") == (False, "opted_out")
    assert await guest.is_on("marketing.newsletter") == (True, "allowed")


async def test_all_marketing_can_be_stopped_and_taken_up_again(guest: Guest) -> None:
    assert (await page(guest.desk, "POST", guest.unsubscribe("surveys"), {"scope": "stream"}))[0] == 200
    assert await guest.is_on("marketing.newsletter") == (False, "address_suppressed")
    assert await guest.is_on("order.shipped") == (True, "allowed")
    assert await guest.rows(SUPPRESSIONS) == [{"channel": "email", "stream": "marketing", "reason": "unsubscribe"}]
    _, text = await page(guest.desk, "GET", guest.preferences())
    assert re.search(r'value="stop:email" checked', text)
    assert (await page(guest.desk, "POST", guest.preferences(), [("shown", "stop:email")]))[0] == 200
    assert await guest.is_on("marketing.newsletter") == (True, "allowed")


async def test_another_form_changes_nothing(guest: Guest) -> None:
    for form in ({"x": ""}, {"scope": "everything"}, {"List-Unsubscribe": "Two-Click"}):
        assert (await page(guest.desk, "POST", guest.unsubscribe(), form))[0] == 400
    assert await guest.is_on("marketing.newsletter") == (True, "allowed")


async def test_a_link_that_is_not_ours_is_told_in_the_readers_language(guest: Guest) -> None:
    ours, theirs = guest.unsubscribe(), guest.preferences()
    for path in (ours[:-1], ours.replace("/u/", "/p/"), theirs.replace("/p/", "/u/"), "/u/%00", "/p/x"):
        for method, form in (("GET", None), ("POST", ONE_CLICK)):
            status, text = await page(guest.desk, method, path, form, **{"Accept-Language": "de-AT"})
            assert status == 404, path
            assert "Dieser Link funktioniert nicht" in text
            assert '<html lang="de"' in text


async def test_who_was_erased_gets_the_same_answer_and_no_row(desk: Desk, guest: Guest) -> None:
    gone = Guest("somebody-erased", desk, guest.pool)
    assert (await page(desk, "POST", gone.unsubscribe(), ONE_CLICK))[0] == 200
    assert await gone.rows(PREFERENCES) == []
    assert (await page(desk, "GET", gone.preferences()))[0] == 404


async def test_an_old_preference_link_has_expired(guest: Guest) -> None:
    assert (await page(guest.desk, "GET", guest.preferences(age=89 * 86_400)))[0] == 200
    status, text = await page(guest.desk, "GET", guest.preferences(age=91 * 86_400))
    assert (status, "too old" in text) == (410, True)


async def test_what_is_chosen_counts_and_says_where_it_was_chosen(guest: Guest) -> None:
    shown = ["email:orders", "in_app:orders", "consent:marketing", "quiet", "tracking"]
    form = [("shown", name) for name in shown] + [("on", "in_app:orders"), ("on", "quiet")]
    form += [("quiet_start", "22:30"), ("quiet_end", "06:00")]
    status, text = await page(guest.desk, "POST", guest.preferences(), form)
    assert (status, "Your choice is saved" in text) == (200, True)
    assert await guest.is_on("order.shipped") == (False, "opted_out")
    assert await guest.is_on("order.shipped", "in_app") == (True, "allowed")
    assert await guest.is_on("marketing.newsletter") == (False, "no_consent")
    stored = (await guest.desk.call("GET", f"{guest.path}/preferences")).json["preferences"]
    hours = {"start": "22:30", "end": "06:00", "timezone": None}
    assert {"channel": "*", "type": "*", "enabled": None, "quiet_hours": hours} in stored
    assert {"channel": "*", "type": "tracking", "enabled": False, "quiet_hours": None} in stored
    assert {row["source"] for row in await guest.rows(PREFERENCES)} == {"preference_page"}
    assert (await guest.rows(CONSENTS))[-1] == {
        "granted": False,
        "source": "preference_page",
        "wording_version": "2026-01",
    }


async def test_turning_off_what_a_mail_was_about_is_told_as_unsubscribed(guest: Guest, hosted: Settings) -> None:
    mail = guest.reference("surveys")
    link = guest.preferences(reference=mail)
    for shown in ("email:orders", "email:surveys", "email:surveys"):
        assert (await page(guest.desk, "POST", link, [("shown", shown)]))[0] == 200
    (status,) = await told(hosted.kafka, guest.user_id, 1)
    assert (status.status, status.notification_id) == ("unsubscribed", mail.notification_id)


async def test_wrong_times_are_told_and_nothing_is_saved(guest: Guest) -> None:
    form = [("shown", "email:orders"), ("shown", "quiet"), ("on", "quiet"), ("quiet_start", "25:00")]
    status, text = await page(guest.desk, "POST", guest.preferences(), form)
    assert (status, 'role="alert"' in text) == (400, True)
    assert await guest.is_on("order.shipped") == (True, "allowed")


async def test_what_is_filled_in_cannot_become_markup(guest: Guest) -> None:
    claim = Unsubscribe(guest.user_id, "<script>alert(1)</script>", Channel.EMAIL)
    _, text = await page(guest.desk, "GET", "/u/" + sign(claim, UNSUBSCRIBE_SECRET.encode()))
    assert "<script" not in text
