"""The hosted pages in a real browser: with the keyboard alone, without scripts, on a narrow screen, in both schemes."""

from pathlib import Path

import pytest

from tests.browsers import Tab, looks_right, open_tab
from tests.integration.gateway.hosted.conftest import Guest

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]


async def tab_to(tab: Tab, selector: str) -> None:
    """With the keyboard alone; where the focus is must be seen."""
    for _ in range(60):
        await tab.press("Tab")
        if await tab.evaluate(f"document.activeElement.matches({selector!r})"):
            assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


async def test_a_person_unsubscribes_with_the_keyboard_and_without_scripts(guest: Guest, tmp_path: Path) -> None:
    await guest.desk.call("PATCH", guest.path, json={"locale": "de-DE"})
    async with open_tab(tmp_path / "profile", script=False) as tab:
        await tab.open(guest.url + guest.unsubscribe())
        await looks_right(tab, "unsubscribe")
        assert await tab.evaluate("document.scripts.length") == 0
        assert await guest.is_on("marketing.newsletter") == (True, "allowed"), "it was only looked at"
        await tab_to(tab, "button[value=category]")
        await tab.press("Enter")
        await tab.loaded()
        assert "Sie haben abbestellt" in await tab.evaluate("document.body.innerText")
        await looks_right(tab, "unsubscribed")
    assert await guest.is_on("marketing.newsletter") == (False, "no_consent")


async def test_a_person_chooses_with_the_keyboard_and_without_scripts(guest: Guest, tmp_path: Path) -> None:
    async with open_tab(tmp_path / "profile", script=False) as tab:
        await tab.open(guest.url + guest.preferences())
        await looks_right(tab, "preferences")
        assert await tab.evaluate("document.scripts.length") == 0
        await tab_to(tab, "input[value='email:orders']")
        await tab.press("Space")
        await tab_to(tab, "input[value=quiet]")
        await tab.press("Space")
        await tab_to(tab, "button")
        await tab.press("Enter")
        await tab.loaded()
        text = await tab.evaluate("document.querySelector('[role=status]').innerText")
        assert "Your choice is saved" in text
        assert await tab.evaluate("document.querySelector('input[value=\"email:orders\"]').checked") is False
        await looks_right(tab, "preferences-saved")
    assert await guest.is_on("order.shipped") == (False, "opted_out")
    stored = (await guest.desk.call("GET", f"{guest.path}/preferences")).json["preferences"]
    assert [row["quiet_hours"]["start"] for row in stored if row["quiet_hours"]] == ["22:00"]


async def test_pages_that_say_what_is_wrong_look_right_too(guest: Guest, tmp_path: Path) -> None:
    async with open_tab(tmp_path / "profile", script=False) as tab:
        await tab.open(guest.url + "/u/no-such-token")
        await looks_right(tab, "bad-link")
        await tab.open(guest.url + guest.preferences(age=200 * 86_400))
        await looks_right(tab, "old-link")
