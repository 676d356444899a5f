"""The hosted pages in a real browser: with the keyboard alone, without scripts, on a narrow screen, in both schemes."""

from pathlib import Path

import pytest

from tests.browsers import Tab, open_tab
from tests.integration.gateway.hosted.conftest import Guest

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

NARROW = 320
"""CSS pixels: WCAG 2.2, 1.4.10 Reflow."""

CONTROLS = {"checkbox", "button", "textbox", "InputTime", "spinbutton", "link"}

LEAST_CONTRAST = """
(() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const e of document.querySelectorAll("main *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()
"""
"""The least contrast between any text and what it stands on: WCAG 2.2, 1.4.3 asks for 4.5."""


async def looks_right(tab: Tab, name: str) -> None:
    """What must hold of every page, in light and dark."""
    for dark in (False, True):
        await tab.wide(NARROW, dark=dark)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= NARROW, name
        assert await tab.evaluate(LEAST_CONTRAST) >= 4.5, (name, dark)
        await tab.picture(f"{name}-{'dark' if dark else 'light'}")
    await tab.wide(1200)
    await tab.picture(f"{name}-wide")
    tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
    nameless = [n for n in tree if n.get("role", {}).get("value") in CONTROLS and not n.get("name", {}).get("value")]
    assert nameless == [], name
    assert (
        await tab.evaluate("document.title && document.documentElement.lang && document.querySelectorAll('h1').length")
        == 1
    )
    assert await tab.evaluate("document.scripts.length") == 0
    assert tab.refused == [], name


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
