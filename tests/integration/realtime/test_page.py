"""The example inbox in a real browser: badge, toast, and what is in a notification stays text."""

from pathlib import Path

import pytest

from tests.browsers import looks_right, open_tab
from tests.integration.realtime.conftest import Servers, item, somebody, token

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_example_inbox_shows_what_comes_in(servers: Servers, tmp_path: Path) -> None:
    user = somebody()
    waiting, live = item(user, title="While away"), item(user, title="<img src=x onerror=alert(1)>")
    await servers.deliver(waiting, published=False)
    async with servers.instance(development=True) as instance, open_tab(tmp_path / "profile") as tab:
        await tab.open(f"{instance.url}/#token={token(user)}")
        await tab.until("document.getElementById('state').textContent === 'connected'")
        await tab.until("document.getElementById('badge').textContent === '1'")
        await servers.deliver(live)
        await tab.until("document.getElementById('badge').textContent === '2'")
        assert await tab.evaluate("document.title") == "(2) Inbox"
        await tab.until("document.getElementById('toasts').innerText.includes('<img src=x onerror=alert(1)>')")
        assert await tab.evaluate("document.querySelectorAll('img').length") == 0
        await looks_right(tab, "inbox")
