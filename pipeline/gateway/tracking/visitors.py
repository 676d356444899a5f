"""Who fetched a pixel or followed a link: a person, or a machine on the way. Pure.

No more than can honestly be told. Scanners that pass for browsers are taken for people; who blocks images is not seen.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Visitor(NamedTuple):
    """`machine`: nobody read it, as far as can be told. `via`: what it was recognised as, or came through; else empty."""

    machine: bool
    via: str = ""


_PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_PREFETCH = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)

APPLE = "Mozilla/5.0"
"""All that Apple's Mail Privacy Protection says of itself. It fetches whatever comes in, read or not."""

_PREVIEWS = re.compile(
    r"facebookexternalhit|slackbot|slack-imgproxy|twitterbot|telegrambot|whatsapp|discordbot|linkedinbot|skypeuripreview"
    r"|redditbot|pinterest|mastodon|embedly|iframely",
    re.IGNORECASE,
)
"""What shows a link's target in a chat: somebody passed the link on, which is not to have followed it."""

_SCANNERS = re.compile(
    r"\b\w*bot\b|crawl|spider|scanner|barracuda|mimecast|proofpoint|fortiguard|sophos|symantec|trendmicro|bitdefender"
    r"|safelinks|urldefense|headlesschrome|phantomjs|selenium|\bcurl/|\bwget/|libwww|python-|go-http-client|apache-httpclient"
    r"|\bjava/|node-fetch|axios/|\bruby\b",
    re.IGNORECASE,
)
_PROXIES = (
    (re.compile(r"GoogleImageProxy", re.IGNORECASE), "google_image_proxy"),
    (re.compile(r"YahooMailProxy", re.IGNORECASE), "yahoo_mail_proxy"),
)
"""What fetches for a reader when they open a mail, so that a person is behind it, but the device is not told."""


def visitor(headers: Mapping[str, str], age_ms: int, soonest_ms: int) -> Visitor:
    """By the request's headers (names in any case) and by how long ago the message was made.

    `soonest_ms`: nobody is faster than that, since the mail has to travel and be seen.
    """
    agent = headers.get("User-Agent", "").strip()
    if any(_PREFETCH.search(headers.get(name, "")) for name in _PREFETCH_HEADERS):
        return Visitor(True, "prefetch")
    if not agent:
        return Visitor(True, "no_user_agent")
    if agent == APPLE:
        return Visitor(True, "apple_mail_privacy")
    if _PREVIEWS.search(agent):
        return Visitor(True, "link_preview")
    if _SCANNERS.search(agent):
        return Visitor(True, "scanner")
    if age_ms < soonest_ms:
        return Visitor(True, "too_soon")
    return Visitor(False, next((name for pattern, name in _PROXIES if pattern.search(agent)), ""))
