"""Tracking of mail: an open pixel, and links that come back to us before they go on. Pure.

Only the HTML is touched, and in it only links of http and https. What a link leads to is in the token that we signed,
so nothing else can be reached by it.
"""

import html
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from pipeline.catalogue.model import Category, Stream, Tracking
from pipeline.channels.signing import seal, unseal
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel
from pipeline.users.snapshot import EVERY, UserSnapshot

TOPIC = "tracking"
"""What a preference row's `notif_type`, or a consent's category, says to mean being tracked."""

LONGEST_LINK = 2_000
"""Characters of an address that is still rewritten: what comes of it must fit into any client's address bar."""

_OWN_PATHS = ("/u/", "/p/", "/t/")

_OPEN, _CLICK = b"open", b"click"

_LINK = re.compile(r"""(<(?:a|area)\s[^<>]*?\bhref\s*=\s*)(?:"([^"<>]*)"|'([^'<>]*)')""", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_PIXEL = '<img src="{}" width="1" height="1" alt="" style="border:0;width:1px;height:1px">'

_encode = msgspec.json.Encoder().encode


class Open(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a pixel's token stands for: a notification, and when its message was made (ms)."""

    reference: Reference
    prepared_at: int


class Click(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a click token stands for: where it leads, in which message."""

    url: str
    message: Open


_decode_open = msgspec.json.Decoder(Open).decode
_decode_click = msgspec.json.Decoder(Click).decode


def sign_open(message: Open, secret: bytes) -> str:
    return seal(_encode(message), secret, _OPEN)


def verify_open(token: str, secret: bytes) -> Open | None:
    """The message whose pixel it is; None if it is not one of ours."""
    payload = unseal(token, secret, _OPEN)
    try:
        return None if payload is None else _decode_open(payload)
    except msgspec.DecodeError:
        return None


def sign_click(click: Click, secret: bytes) -> str:
    return seal(_encode(click), secret, _CLICK)


def verify_click(token: str, secret: bytes) -> Click | None:
    """Where it leads; None if it is not one of ours, or leads to no web address."""
    payload = unseal(token, secret, _CLICK)
    try:
        click = None if payload is None else _decode_click(payload)
    except msgspec.DecodeError:
        return None
    return click if click is not None and is_web_link(click.url) else None


def may_track(tracking: Tracking, user: UserSnapshot, channel: Channel) -> bool:
    """Whether this user's mail of a category may be tracked: by the catalogue's word, and by theirs.

    A preference row of type ``tracking`` that is off says no, for its channel or for all. `Tracking.CONSENT` needs a
    consent to ``tracking`` besides.
    """
    if tracking is Tracking.OFF or (tracking is Tracking.CONSENT and TOPIC not in user.consents):
        return False
    words = {row.channel: row.enabled for row in user.preferences if row.notif_type == TOPIC}
    own, every = words.get(channel), words.get(EVERY, words.get("all"))
    return (own if own is not None else every) is not False


def is_web_link(url: str) -> bool:
    """Whether it is an absolute http or https address that can stand in a header line."""
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


class Tracker:
    """Puts pixel and links into the HTML of mail. `public_url` is the base of what comes back to us."""

    def __init__(self, secret: bytes, public_url: str, categories: Mapping[str, Category]) -> None:
        """`categories`: the catalogue's; one that it does not know is not tracked."""
        self._secret = secret
        self._base = public_url.rstrip("/")
        self._own = tuple(self._base + path for path in _OWN_PATHS)
        self._tracking = {name: tracking_of(category) for name, category in categories.items()}

    def tracks(self, category: str, user: UserSnapshot, channel: Channel) -> bool:
        return may_track(self._tracking.get(category, Tracking.OFF), user, channel)

    def instrument(self, text: str, message: Open) -> str:
        """`text` with tracked links and a pixel at its end; links to our own pages stay as they are."""
        said = _encode(message)

        def replace(match: re.Match[str]) -> str:
            url = html.unescape(match[2] if match[2] is not None else match[3]).strip()
            if url.startswith(self._own) or len(url) > LONGEST_LINK or not is_web_link(url):
                return match[0]
            token = seal(b"[" + _encode(url) + b"," + said + b"]", self._secret, _CLICK)
            return f'{match[1]}"{self._base}/t/c/{token}"'

        return self._with_pixel(_LINK.sub(replace, text), seal(said, self._secret, _OPEN))

    def _with_pixel(self, text: str, token: str) -> str:
        pixel = _PIXEL.format(html.escape(f"{self._base}/t/o/{token}"))
        ends = list(_BODY_END.finditer(text))
        return f"{text[: ends[-1].start()]}{pixel}{text[ends[-1].start() :]}" if ends else text + pixel


def tracking_of(category: Category) -> Tracking:
    """The catalogue's word; without one marketing is tracked, and nothing else is."""
    if category.tracking is not None:
        return category.tracking
    return Tracking.ON if category.stream is Stream.MARKETING else Tracking.OFF
