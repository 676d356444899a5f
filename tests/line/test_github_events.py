"""270 real webhook events of GitHub through the command line and the whole line."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.events.ids import notification_id
from pipeline.events.vocabulary import TERMINAL, Channel, Status
from pipeline.users.snapshot import UserSnapshot
from tests.conftest import IN_CI
from tests.line.rig import Mail, Rig, differences

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)><b>bold</b> & \"quoted\" '{{ 7*7 }}'"

SHOWN = ("comment", "review", "pull_request", "issue", "discussion", "release", "milestone", "security_advisory",
         "deployment_status", "head_commit", "project", "label", "team")  # fmt: skip
"""Where the example template looks for the text of an event, best first."""

Event = dict[str, Any]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    file = Path(os.environ.get("DATA_DIR", "../shared/data")) / "github-events.jsonl"
    if not file.is_file():
        (pytest.fail if IN_CI else pytest.skip)(f"{file} is not here: set DATA_DIR")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def recipients(rig: Rig, events: list[Event]) -> list[str]:
    ids = sorted({event["recipient_id"] for event in events})
    rig.load(
        [
            UserSnapshot(user_id=user_id, version=0, known=True, email=f"recipient-{number}@example.com")
            for number, user_id in enumerate(ids)
        ]
    )
    return ids


def test_every_github_event_is_accounted_for_on_every_channel_and_its_mail_is_whole(
    rig: Rig, events: list[Event], recipients: list[str], tmp_path: Path
) -> None:
    assert len(recipients) == 16
    before = rig.settle()
    produce(rig, events, tmp_path)
    after = rig.settle()

    assert after.ok
    assert after.quiet
    assert after.offenders == []
    added = differences(before, after)
    assert added["requests"] == len(events) == 270
    assert added["accepted"] == added["terminal"] == sum(len(event["channels"]) for event in events)
    assert missing_outcomes(rig, events) == []
    mails = mails_of(rig, events)
    assert sum(added for channel, added in sent(rig, events).items() if channel == Channel.EMAIL) == len(mails)
    assert len(mails) == sum(Channel.EMAIL in event["channels"] for event in events)
    assert [unit for unit, (event, mail) in mails.items() if shown_text(event) not in flat(text_of(mail.html))] == []


def test_markup_in_a_github_title_or_body_never_becomes_markup_in_a_mail(
    rig: Rig, events: list[Event], recipients: list[str], tmp_path: Path
) -> None:
    plain = [event for event in events if Channel.EMAIL in event["channels"] and shown_text(event)][:20]
    hostile = [poisoned(event) for event in plain]
    produce(rig, hostile, tmp_path)
    assert rig.settle().ok
    mails = mails_of(rig, hostile)
    assert len(mails) == len(hostile) == 20
    for event, mail in mails.values():
        assert not {"script", "img", "b"} & tags_of(mail.html), event["event_type"]
        assert "onerror=" not in mail.html.replace("onerror=alert(1)&gt;", "")
        assert HOSTILE in text_of(mail.html)
        assert "<script>" not in mail.headers["Subject"] or "\n" not in mail.headers["Subject"]


def produce(rig: Rig, events: list[Event], folder: Path) -> None:
    """By the command, as an operator would."""
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "produce", str(file), "--json"],
        env={**os.environ, **rig.line.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["produced"] == len(events)


def unit_of(event: Event, channel: str) -> str:
    return notification_id(event["idempotency_key"], event["recipient_id"], channel)


def units(events: list[Event]) -> dict[str, str]:
    """Notification id → channel, of every event and channel."""
    return {unit_of(event, channel): channel for event in events for channel in event["channels"]}


def missing_outcomes(rig: Rig, events: list[Event]) -> list[str]:
    ended = {status.notification_id for status in rig.statuses() if status.status in TERMINAL}
    return sorted(units(events).keys() - ended)


def sent(rig: Rig, events: list[Event]) -> dict[str, int]:
    """Notifications sent, by channel."""
    wanted, found = units(events), defaultdict(set)
    for status in rig.statuses():
        if status.status is Status.SENT and status.notification_id in wanted:
            found[wanted[status.notification_id]].add(status.notification_id)
    return {channel: len(ids) for channel, ids in found.items()}


def mails_of(rig: Rig, events: list[Event]) -> dict[str, tuple[Event, Mail]]:
    by_unit = {unit_of(event, Channel.EMAIL): event for event in events}
    arrived = [(mail.headers["X-Notification-ID"], mail) for mail in rig.mails()]
    return {unit: (by_unit[unit], mail) for unit, mail in arrived if unit in by_unit}


def poisoned(event: Event) -> Event:
    """A new event whose shown title and text carry markup."""
    data = json.loads(json.dumps(event["data"]))
    for key in SHOWN:
        if isinstance(data.get(key), dict):
            for field in ("title", "name", "body", "description", "message"):
                if isinstance(data[key].get(field), str):
                    data[key][field] = HOSTILE
    return event | {"data": data} | {name: f"hostile-{event[name]}" for name in ("event_id", "idempotency_key")}


def shown_text(event: Event) -> str:
    """The longest text that the mail of an event has to show, in full."""
    for key in SHOWN:
        part = event["data"].get(key)
        for field in ("body", "description", "message"):
            if isinstance(part, dict) and isinstance(part.get(field), str) and part[field]:
                return flat(part[field])
    return ""


def flat(text: str) -> str:
    """White space is the layout's."""
    return re.sub(r"\s+", " ", text).strip()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _parsed(html: str) -> _Parser:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser


def text_of(html: str) -> str:
    return "".join(_parsed(html).text)


def tags_of(html: str) -> set[str]:
    return _parsed(html).tags
