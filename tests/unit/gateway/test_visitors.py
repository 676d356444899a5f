import pytest
from multidict import CIMultiDict

from pipeline.gateway.tracking.visitors import Visitor, visitor

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
OUTLOOK = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SLACK = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (FIREFOX, Visitor(False)),
        (OUTLOOK, Visitor(False)),
        (IPHONE, Visitor(False)),
        (GMAIL, Visitor(False, "google_image_proxy")),
        (
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            Visitor(False, "yahoo_mail_proxy"),
        ),
        ("Mozilla/5.0", Visitor(True, "apple_mail_privacy")),
        ("", Visitor(True, "no_user_agent")),
        (SLACK, Visitor(True, "link_preview")),
        ("python-requests/2.32.3", Visitor(True, "scanner")),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Visitor(True, "scanner")),
    ],
)
def test_who_says_what_it_is_is_recognised(agent: str, expected: Visitor) -> None:
    assert visitor(CIMultiDict({"user-agent": agent}), age_ms=60_000, soonest_ms=2_000) == expected


def test_nobody_reads_a_mail_before_it_can_have_come() -> None:
    for agent in (FIREFOX, GMAIL):
        assert visitor({"User-Agent": agent}, age_ms=1_999, soonest_ms=2_000) == Visitor(True, "too_soon")
        assert not visitor({"User-Agent": agent}, age_ms=2_000, soonest_ms=2_000).machine


@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"])
def test_what_is_only_fetched_in_advance_is_not_read(name: str) -> None:
    assert visitor({"User-Agent": FIREFOX, name: "prefetch"}, 60_000, 2_000) == Visitor(True, "prefetch")
