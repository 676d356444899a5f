from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from pipeline.channels.rendering import Renderer
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority
from pipeline.templates.store import TemplateStore
from pipeline.users.snapshot import Device, UserSnapshot

MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section></mj-body></mjml>"


class MakeDispatch(Protocol):
    def __call__(
        self,
        channel: Channel,
        *,
        data: str = "{}",
        stream: str = "transactional",
        collapse_key: str | None = None,
        expires_at: int | None = None,
        priority: Priority = Priority.HIGH,
    ) -> Dispatch: ...


@pytest.fixture
def make_dispatch() -> MakeDispatch:
    def make(
        channel: Channel,
        *,
        data: str = "{}",
        stream: str = "transactional",
        collapse_key: str | None = None,
        expires_at: int | None = None,
        priority: Priority = Priority.HIGH,
    ) -> Dispatch:
        event = NotificationRequested(
            event_id="evt_1",
            event_type="order.shipped",
            recipient_id="user_1",
            channels=[],
            priority=None,
            data=data,
            idempotency_key="key",
            created_at=1_771_840_800_000,
        )
        return Dispatch(
            notification_id="0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c",
            channel=channel,
            priority=priority,
            category="orders",
            stream=stream,
            template="t",
            collapse_key=collapse_key,
            expires_at=expires_at,
            rule="allow",
            policy_version="1",
            decided_at=0,
            origin=Origin.INGEST,
            trace_id="",
            event=event,
        )

    return make


@pytest.fixture
def user() -> UserSnapshot:
    return UserSnapshot(
        user_id="user_1",
        version=1,
        known=True,
        email="Ada@Example.com",
        phone="+1 500 555 0006",
        devices=[Device("phone", "android", "token-1"), Device("tablet", "ios", "token-2")],
    )


@pytest.fixture
def renderer(tmp_path: Path) -> Callable[[Channel], Renderer]:
    """Templates that show what is in ``data.text`` and ``data.title``."""
    text, title = "{{ data.text | default('hello') }}", "{{ data.title | default('Title') }}"
    files = {
        "push.title.txt": title,
        "push.body.txt": text,
        "sms.txt": text,
        "in_app.title.txt": title,
        "in_app.body.txt": text,
        "in_app.link.txt": "{{ data.link | default('') | web_link }}",
        "email.subject.txt": title,
        "email.mjml": MJML.format(text),
        "email.txt": text,
    }
    folder = tmp_path / "templates" / "t" / "en"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    return lambda channel: Renderer(TemplateStore.load(tmp_path / "templates", [channel]), channel)
