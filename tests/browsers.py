"""A headless Chromium, driven over its DevTools protocol: pages as people see them."""

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WITHIN = 60.0

NARROW = 320
"""CSS pixels: WCAG 2.2, 1.4.10 Reflow."""

CONTROLS = {"checkbox", "button", "textbox", "InputTime", "spinbutton", "link"}

LEAST_CONTRAST = """
(() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const sample = document.body.appendChild(document.createElement("i"));
  sample.style.backgroundColor = "Canvas";
  const canvas = parse(getComputedStyle(sample).backgroundColor);
  sample.remove();
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return canvas;
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

KEYS = {"Tab": ("\t", 9), "Enter": ("\r", 13), "Space": (" ", 32)}


def chromium() -> str:
    """The program; without one the test is skipped."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium, to look at pages with: apt-get install chromium")


class Tab:
    """One page. `refused` is what its content security policy kept out, and other errors of its own."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self.refused: list[str] = []

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """What the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, "sessionId": self._session}
        await self._socket.send_json(message)
        while (answer := await self._receive()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer)
        found: dict[str, Any] = answer["result"]
        return found

    async def open(self, url: str) -> None:
        await self.loads("Page.navigate", url=url)

    async def loads(self, method: str, **parameters: object) -> None:
        """Do what makes a page load, and wait until it has."""
        self._events.clear()
        await self.call(method, **parameters)
        await self.loaded()

    async def loaded(self) -> None:
        async with asyncio.timeout(WITHIN):
            while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
                await self._receive()

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(WITHIN):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - the page tells nobody when it changes
                await asyncio.sleep(0.05)

    async def press(self, key: str) -> None:
        text, code = KEYS[key]
        common = {"key": text if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        self._events.clear()
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({} if key == "Tab" else {"text": text}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def wide(self, width: int, *, dark: bool = False) -> None:
        """As wide as that, in CSS pixels; as tall as a phone."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, name: str) -> None:
        """Keep a picture of the whole page where ``PAGE_PICTURES`` says, to be looked at."""
        if folder := os.environ.get("PAGE_PICTURES"):
            shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
            path = Path(folder) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(shot["data"]))

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=WITHIN)
        if message.get("sessionId") == self._session and "method" in message:
            self._events.append(message)
            entry = message["params"].get("entry", {})
            if entry.get("level") == "error" and entry["source"] != "network":
                self.refused.append(entry["text"])
        return message


@asynccontextmanager
async def open_tab(profile: Path, *, script: bool = True) -> AsyncIterator[Tab]:
    """A tab of a browser of its own, with an empty profile. `script`: pages may run theirs."""
    process = await asyncio.create_subprocess_exec(
        chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as client, client.ws_connect(await _address(process), max_msg_size=0) as ws:
            tab = await _attach(ws)
            for domain in ("Page", "Runtime", "Log", "Accessibility"):
                await tab.call(f"{domain}.enable")
            await tab.call("Emulation.setScriptExecutionDisabled", value=not script)
            yield tab
    finally:
        process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN):
        async for line in process.stderr:
            if line.startswith(b"DevTools listening on "):
                return line.decode().split()[-1]
    raise AssertionError("Chromium ended before it listened")


async def _attach(socket: aiohttp.ClientWebSocketResponse) -> Tab:
    async def ask(number: int, method: str, **parameters: object) -> dict[str, Any]:
        await socket.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await socket.receive_json(timeout=WITHIN)).get("id") != number:
            pass
        found: dict[str, Any] = answer["result"]
        return found

    target = await ask(-1, "Target.createTarget", url="about:blank")
    attached = await ask(-2, "Target.attachToTarget", targetId=target["targetId"], flatten=True)
    return Tab(socket, attached["sessionId"])


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
    assert tab.refused == [], name
