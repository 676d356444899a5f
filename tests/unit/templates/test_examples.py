"""The templates that ship: all event data renders on all channels, and nothing gets out of its frame."""

import html
import json
from html.parser import HTMLParser

import pytest

from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel
from pipeline.templates.context import render_context
from pipeline.templates.store import TemplateStore
from pipeline.testing.traffic import Traffic

NAMES = ("order_shipped", "order_confirmed", "payment_failed", "login_new_device", "newsletter", "comment", "generic")
NASTY = '<script>alert("x")</script> & {{ 7*7 }} Zoë 李雷'


def context(data: object, event_type: str = "order.shipped") -> dict[str, object]:
    event = NotificationRequested(
        event_id="e1",
        event_type=event_type,
        recipient_id="user_1",
        channels=[],
        priority=None,
        data=json.dumps(data),
        idempotency_key="k",
        created_at=1_771_840_800_000,
    )
    return render_context(event, "en") | {"unsubscribe_url": "https://example.com/u/token"}


class Tags(HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def longest_text(data: object) -> str:
    """The body that the mail must show in full."""
    assert isinstance(data, dict)
    for key in ("comment", "review", "pull_request", "issue", "discussion", "release"):
        if isinstance(data.get(key), dict) and isinstance(text := data[key].get("body"), str) and text:
            return text
    return ""


def test_every_real_event_renders_on_every_channel_and_mail_shows_it_in_full(
    examples: TemplateStore, github_events: list[str]
) -> None:
    frame = Tags(examples.find("github", Channel.EMAIL, None).render(context({}, "github.ping"))["html"]).seen
    for line in github_events:
        event = json.loads(line)
        variables = context(event["data"], event["event_type"])
        for channel in Channel:
            parts = examples.find("github", channel, "en").render(variables)
            assert all(part.strip() for name, part in parts.items() if name != "link"), (event["event_id"], channel)
        mail = examples.find("github", Channel.EMAIL, "en").render(variables)
        body = longest_text(event["data"])
        shown = Tags(mail["html"])
        assert body in mail["text"]
        assert html.escape(body, quote=False) in mail["html"].replace("&#34;", '"').replace("&#39;", "'")
        assert set(shown.seen) <= set(frame) | {"a"}


@pytest.mark.parametrize("name", NAMES)
def test_markup_in_data_stays_text_in_mail(examples: TemplateStore, name: str) -> None:
    fields = (
        "order_id",
        "carrier",
        "title",
        "body",
        "summary",
        "author",
        "text",
        "subject",
        "device",
        "city",
        "amount",
    )
    rendered = examples.find(name, Channel.EMAIL, "en").render(context(dict.fromkeys(fields, NASTY)))
    assert "<script>" not in rendered["html"]
    assert "alert" not in rendered["html"] or "&lt;script&gt;" in rendered["html"]
    assert "49" not in rendered["text"]


@pytest.mark.parametrize("name", NAMES)
def test_a_javascript_link_in_data_reaches_no_channel(examples: TemplateStore, name: str) -> None:
    links = dict.fromkeys(
        ("tracking_url", "order_url", "update_url", "secure_url", "url", "link"), "javascript:alert(1)"
    )
    for channel in (Channel.EMAIL, Channel.IN_APP):
        rendered = examples.find(name, channel, "en").render(context({"order_id": "1", **links}))
        assert "javascript" not in rendered.get("html", "") + rendered.get("link", "")


def test_the_newsletter_ends_with_its_unsubscribe_link(examples: TemplateStore) -> None:
    rendered = examples.find("newsletter", Channel.EMAIL, "en").render(context({"title": "News"}))
    assert 'href="https://example.com/u/token"' in rendered["html"]
    assert rendered["text"].strip().endswith("Unsubscribe (https://example.com/u/token)")


def test_the_shop_traffic_of_the_demo_renders_on_all_its_channels(examples: TemplateStore) -> None:
    template = {"security.login_new_device": "login_new_device", "social.comment": "comment"}
    template |= {"marketing.newsletter": "newsletter"}
    traffic = Traffic(["user_1"], seed=7, duplicates=0, cancels=0)
    for _ in range(200):
        event = traffic.next(1_771_840_800_000)
        name = template.get(event.event_type, event.event_type.replace(".", "_"))
        variables = render_context(event, "en") | {"unsubscribe_url": "https://example.com/u/token"}
        for channel in Channel:
            assert examples.find(name, channel, "en").render(variables)
