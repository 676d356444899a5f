"""A simulator of a browser's push service (RFC 8030), and of the browser behind it: it decrypts what it is sent."""

import base64
import secrets
import time
from collections import deque

import http_ece
import jwt
import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply
from pipeline.testing.received import Received
from pipeline.users.synthetic import WEB_PUSH_HOST, web_push_keys, web_subscription

MAX_BODY = 4096
MAX_VAPID_AGE = 86_400
"""https://www.rfc-editor.org/rfc/rfc8292#section-2"""
URGENCIES = frozenset({"very-low", "low", "normal", "high"})


class Content(msgspec.Struct):
    """What a service worker needs of a message."""

    notification_id: str
    title: str
    body: str
    tag: str = ""


_decode = msgspec.json.Decoder(Content).decode
_TOPIC_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class WebPushSimulator(HttpSimulator):
    """A push service for any number of browsers. Point ``providers.webpush.base_url`` at it.

    It takes messages for every subscription of `subscribe` (and of synthetic users), but for those given to `expire`,
    and only from `vapid_key`, the application's private key. `opened` are the latest messages, decrypted.
    """

    def __init__(self, script: Script | None = None, *, received: Received | None = None) -> None:
        super().__init__(script, received=received)
        key = ec.generate_private_key(ec.SECP256R1())
        self.vapid_key = _base64url(key.private_numbers().private_value.to_bytes(32, "big"))
        self.application_server_key = _point(key)
        self.opened: deque[tuple[dict[str, str], Content]] = deque(maxlen=100)
        self._expired: set[str] = set()
        self._vapid: dict[str, int] = {}

    def subscribe(self, name: str = "") -> str:
        """A browser's subscription, as the JSON that it would send to the application."""
        return web_subscription("simulated", name or secrets.token_hex(8))

    def expire(self, subscription: str) -> None:
        """From now on this browser is gone."""
        self._expired.add(URL(msgspec.json.decode(subscription)["endpoint"]).path)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        name = request.path.removeprefix("/wpush/")
        if request.method != "POST" or not request.path.startswith("/wpush/") or len(name) != 64:
            raise Invalid("path", Reply(404, b""))
        self._check_vapid(request.headers.get("Authorization", ""))
        _check_headers(request)
        if request.path in self._expired:
            raise Invalid("expired", Reply(410, b""))
        if len(body) > MAX_BODY:
            raise Invalid("too large", Reply(413, b""))
        content = _open(body, name)
        self.opened.append((dict(request.headers), content))
        location = f"https://{WEB_PUSH_HOST}/m/{secrets.token_urlsafe(16)}"
        return Accepted(content.notification_id, name, Reply(201, b"", {"Location": location}))

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.INVALID_RECIPIENT:
                return Reply(410, b"")
            case Fault.REJECTED:
                return Reply(400, b"")
            case Fault.CONFIGURATION:
                return Reply(403, b"")
            case Fault.THROTTLED:
                return Reply(429, b"", {"Retry-After": str(self.script.behaviour.retry_after)})
            case _:
                return Reply(503, b"")

    def _check_vapid(self, header: str) -> None:
        expires_at = self._vapid.get(header) or self._read_vapid(header)
        if not 0 < expires_at - time.time() <= MAX_VAPID_AGE:
            raise Invalid("VAPID token expired, or good for more than a day", Reply(401, b""))
        self._vapid[header] = expires_at

    def _read_vapid(self, header: str) -> int:
        scheme, _, rest = header.partition(" ")
        fields = dict(field.strip().partition("=")[::2] for field in rest.split(","))
        if scheme.lower() != "vapid" or set(fields) != {"t", "k"}:
            raise Invalid("no VAPID", Reply(401, b""))
        if fields["k"] != self.application_server_key:
            raise Invalid("another application's VAPID key", Reply(403, b""))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _unbase64url(fields["k"]))
        audiences = [f"https://{WEB_PUSH_HOST}", self.base_url]
        try:
            claims = jwt.decode(
                fields["t"], key, algorithms=["ES256"], audience=audiences, options={"require": ["exp"]}
            )
        except jwt.InvalidTokenError as error:
            raise Invalid(f"VAPID {type(error).__name__}", Reply(403, b"")) from error
        if not str(claims.get("sub", "")).startswith(("mailto:", "https:")):
            raise Invalid("VAPID without a subject", Reply(403, b""))
        return int(claims["exp"])


def _check_headers(request: web.BaseRequest) -> None:
    headers = request.headers
    topic = headers.get("Topic", "topic")
    problems = {
        "TTL": not headers.get("TTL", "").isdigit(),
        "Urgency": headers.get("Urgency", "normal") not in URGENCIES,
        "Topic": not 1 <= len(topic) <= 32 or not set(topic) <= _TOPIC_ALPHABET,
        "Content-Encoding": headers.get("Content-Encoding") != "aes128gcm",
    }
    for name, wrong in problems.items():
        if wrong:
            raise Invalid(f"header {name}", Reply(400, b""))


def _open(body: bytes, name: str) -> Content:
    """Decrypt as the browser would. A real push service cannot, and would pass it on to be dropped in silence."""
    private, auth = web_push_keys(name)
    try:
        return _decode(http_ece.decrypt(body, private_key=private, auth_secret=auth, version="aes128gcm"))
    except (http_ece.ECEException, InvalidTag, ValueError, IndexError, msgspec.DecodeError) as error:
        raise Invalid(f"the browser cannot read it: {type(error).__name__}", Reply(400, b"")) from error


def _point(key: ec.EllipticCurvePrivateKey) -> str:
    return _base64url(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
