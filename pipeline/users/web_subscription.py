"""What a browser hands out as its push address: the ``PushSubscription`` of the Push API, as JSON. Pure."""

import base64
import binascii
import functools
from typing import NamedTuple

import msgspec
from yarl import URL

PUBLIC_KEY_BYTES = 65
AUTH_BYTES = 16
"""https://www.rfc-editor.org/rfc/rfc8291#section-3.2"""


class _Keys(msgspec.Struct):
    auth: str
    p256dh: str


class _Subscription(msgspec.Struct):
    endpoint: str
    keys: _Keys


class WebSubscription(NamedTuple):
    """`endpoint` is a secret of the browser; `public_key` an uncompressed P-256 point; `auth` 16 bytes."""

    endpoint: URL
    public_key: bytes
    auth: bytes


_decode = msgspec.json.Decoder(_Subscription).decode


def looks_like_subscription(token: str) -> bool:
    """Whether a device's token is meant as one, as opposed to a token of FCM."""
    return token.startswith("{")


@functools.lru_cache(10_000)
def parse_subscription(token: str) -> WebSubscription:
    """Read ``{"endpoint": …, "keys": {"p256dh": …, "auth": …}}``; what else a browser adds is ignored.

    Raises:
        ValueError: it is none; says what is wrong, and quotes nothing of it.
    """
    subscription = _read(token)
    return WebSubscription(
        _endpoint(subscription.endpoint),
        _key("p256dh", subscription.keys.p256dh, PUBLIC_KEY_BYTES),
        _key("auth", subscription.keys.auth, AUTH_BYTES),
    )


def canonical_subscription(token: str) -> str:
    """The same subscription always as the same text, so that the registry recognises it.

    Raises:
        ValueError: it is none.
    """
    parse_subscription(token)
    return msgspec.json.encode(_read(token)).decode()


def _read(token: str) -> _Subscription:
    try:
        return _decode(token)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a web push subscription: {error}") from None


def _endpoint(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"https", "http"} or not url.host or url.user is not None or url.password is not None:
        raise ValueError("endpoint is not an https:// address")
    return url


def _key(name: str, text: str, size: int) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != size:
        raise ValueError(f"keys.{name} is not {size} bytes in base64url")
    return key
