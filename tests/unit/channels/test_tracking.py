import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.model import Category, Stream, Tracking
from pipeline.channels.tracking import (
    Click,
    Open,
    Tracker,
    is_web_link,
    may_track,
    sign_click,
    sign_open,
    tracking_of,
    verify_click,
    verify_open,
)
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel, Priority
from pipeline.users.snapshot import PreferenceRow, UserSnapshot

SECRET = b"tracking-secret"
BASE = "https://notify.example.com"
MARKETING = Category("marketing", Stream.MARKETING, consent_required=True)
ORDERS = Category("orders", Stream.TRANSACTIONAL, consent_required=False)
TRACKER = Tracker(SECRET, BASE + "/", {"marketing": MARKETING, "orders": ORDERS})

MESSAGE = Open(
    Reference(
        notification_id="0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c",
        event_id="evt_1",
        idempotency_key="key",
        recipient_id="user_1",
        event_type="marketing.newsletter",
        category="marketing",
        source="shop",
        channel=Channel.EMAIL,
        priority=Priority.LOW,
        stream="marketing",
        rule="allowed",
        policy_version="1",
        created_at=1,
    ),
    prepared_at=2,
)


class Links(HTMLParser):
    """The addresses of a document's links and pictures, as a reader's program sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("a", "area") and found.get("href"):
            self.links.append(found["href"] or "")
        if tag == "img":
            self.pictures.append(found.get("src") or "")


def followed(link: str) -> str:
    assert link.startswith(f"{BASE}/t/c/")
    click = verify_click(link.rpartition("/")[2], SECRET)
    assert click is not None
    assert click.message == MESSAGE
    return click.url


URLS = st.builds(
    lambda host, path: f"https://{host}.example.com/{path}",
    st.from_regex(r"[a-z]{1,10}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9/_.~%?&=#+;:@!$'()*,-]{0,40}", fullmatch=True),
)


@given(st.lists(URLS, max_size=5), st.sampled_from("\"'"))
def test_each_link_comes_back_to_us_and_goes_on_to_where_it_led(urls: list[str], quote: str) -> None:
    written = [html.escape(url) for url in urls]
    text = "<html><body>" + "".join(f"<a class=x HREF={quote}{url}{quote}>go</a>" for url in written) + "</body></html>"
    seen = Links(TRACKER.instrument(text, MESSAGE))
    assert [followed(link) for link in seen.links] == urls
    (pixel,) = seen.pictures
    assert verify_open(pixel.rpartition("/")[2], SECRET) == MESSAGE


@pytest.mark.parametrize(
    "link",
    [
        "mailto:shop@example.com",
        "tel:+12025550100",
        "#top",
        "/relative",
        "//example.com/x",
        "javascript:alert(1)",
        "https://",
        f"{BASE}/u/token",
        f"{BASE}/p/token",
        "https://example.com/" + "x" * 2_000,
    ],
)
def test_other_links_and_our_own_stay_as_they_are(link: str) -> None:
    text = f'<p><a href="{link}">x</a></p>'
    assert TRACKER.instrument(text, MESSAGE).startswith(text)


def test_the_rest_of_the_document_is_untouched_and_the_pixel_is_last() -> None:
    text = '<body><p title="a > b">href="https://x.example"</p><link href="https://x.example/s.css"></body></html>'
    got = TRACKER.instrument(text, MESSAGE)
    before, _, after = got.partition("<img")
    assert before == text.removesuffix("</body></html>")
    assert after.endswith("></body></html>")
    assert 'alt=""' in after


def test_a_token_opens_only_what_it_was_signed_for() -> None:
    opened, clicked = sign_open(MESSAGE, SECRET), sign_click(Click("https://x.example/", MESSAGE), SECRET)
    assert verify_click(opened, SECRET) is None
    assert verify_open(clicked, SECRET) is None
    assert verify_open(opened, b"other") is None
    assert verify_open(sign_open(MESSAGE, b""), b"") is None


@given(st.integers(min_value=0), st.sampled_from("ABCabc012-_"))
def test_a_changed_token_leads_nowhere(position: int, character: str) -> None:
    token = sign_click(Click("https://x.example/", MESSAGE), SECRET)
    at = position % len(token)
    changed = token[:at] + character + token[at + 1 :]
    assert changed == token or verify_click(changed, SECRET) is None


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x.example", "https://x.example/\r\nSet-Cookie: a=b", "//x"]
)
def test_a_signed_token_that_leads_to_no_web_address_is_refused(url: str) -> None:
    assert not is_web_link(url)
    assert verify_click(sign_click(Click(url, MESSAGE), SECRET), SECRET) is None


def user(*words: tuple[str, bool], consents: tuple[str, ...] = ()) -> UserSnapshot:
    rows = [PreferenceRow(channel, "tracking", enabled, None, None, None) for channel, enabled in words]
    return UserSnapshot("user_1", 1, known=True, preferences=rows, consents=list(consents))


@pytest.mark.parametrize(
    ("mode", "who", "expected"),
    [
        (Tracking.ON, user(), True),
        (Tracking.OFF, user(consents=("tracking",)), False),
        (Tracking.ON, user(("*", False)), False),
        (Tracking.ON, user(("email", False)), False),
        (Tracking.ON, user(("sms", False)), True),
        (Tracking.ON, user(("*", False), ("email", True)), True),
        (Tracking.CONSENT, user(), False),
        (Tracking.CONSENT, user(consents=("tracking",)), True),
        (Tracking.CONSENT, user(("all", False), consents=("tracking",)), False),
    ],
)
def test_who_is_tracked_is_the_catalogues_word_and_theirs(mode: Tracking, who: UserSnapshot, expected: bool) -> None:
    assert may_track(mode, who, Channel.EMAIL) is expected


def test_without_a_word_of_the_catalogue_only_marketing_is_tracked() -> None:
    assert tracking_of(MARKETING) is Tracking.ON
    assert tracking_of(ORDERS) is Tracking.OFF
    assert tracking_of(ORDERS._replace(tracking=Tracking.CONSENT)) is Tracking.CONSENT
    assert not TRACKER.tracks("unheard_of", user(), Channel.EMAIL)
