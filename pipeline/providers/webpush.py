"""Web push: to the push service that a browser's subscription names (RFC 8030), encrypted for it (RFC 8291)."""

import logging
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import aiohttp
import http_ece
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from pipeline.config import WebPushSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.http import Answer, open_session, post
from pipeline.providers.push_endpoint import EndpointRefused, PublicResolver, check_endpoint
from pipeline.providers.push_message import MAX_TTL, PushMessage, PushRequest, TooLarge, web_topic
from pipeline.providers.vapid import Vapid
from pipeline.providers.webpush_table import NAME, classify
from pipeline.users.snapshot import Device
from pipeline.users.web_subscription import WebSubscription, parse_subscription

MAX_BODY = 4096
"""Bytes that every push service takes. https://www.rfc-editor.org/rfc/rfc8030#section-7.2"""
OVERHEAD = 86 + 1 + 16
"""Bytes of aes128gcm: its header with our public key, a delimiter, a tag. https://www.rfc-editor.org/rfc/rfc8188"""
MAX_PAYLOAD = MAX_BODY - OVERHEAD

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class WebPush:
    """A client for one VAPID key, whichever push service it speaks to."""

    name = NAME

    def __init__(self, settings: WebPushSettings, *, timeout: float, clock: Callable[[], float] = time.time) -> None:
        """Read the key; `timeout` (seconds) bounds the wait for each answer.

        Raises:
            ConfigurationError: key, subject or base_url cannot be used.
        """
        self._vapid = Vapid(settings.vapid_key.get_secret_value(), settings.subject, clock)
        self._settings = settings
        self._timeout = timeout
        self._base = _base(settings.base_url)
        self._session: aiohttp.ClientSession | None = None

    @property
    def public_key(self) -> str:
        """What browsers need as ``applicationServerKey``."""
        return self._vapid.public_key

    async def start(self) -> None:
        trusted = self._base or self._settings.allow_insecure
        self._session = open_session(timeout=self._timeout, resolver=None if trusted else PublicResolver())

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def prepare(self, message: PushMessage, devices: Sequence[Device]) -> list[PushRequest]:
        """One request for each device; `body` is still to be encrypted for it.

        Raises:
            TooLarge: the message takes more than `MAX_PAYLOAD`.
        """
        body = payload(message)
        if len(body) > MAX_PAYLOAD:
            raise TooLarge(NAME, len(body), MAX_PAYLOAD)
        headers = {
            "TTL": str(MAX_TTL if message.ttl is None else message.ttl),
            "Urgency": "high" if message.high_priority else "normal",
            "Topic": web_topic(message.replaces),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
        }
        return [PushRequest(device, body, headers) for device in devices]

    async def send(self, request: PushRequest) -> SendResult:
        """Encrypt and send one message."""
        assert self._session is not None, "start() comes first"
        try:
            subscription = parse_subscription(request.device.token)
            self._check(subscription)
            body = encrypt(request.body, subscription)
        except EndpointRefused as refused:
            logger.warning("a web push subscription is not used: %s", refused)
            return SendResult(outcome=Outcome.PERMANENT, provider=NAME, error="endpoint_refused")
        except ValueError:
            return SendResult(outcome=Outcome.INVALID_RECIPIENT, provider=NAME, error="malformed_subscription")
        headers = {**request.headers, "Authorization": self._vapid.header(_audience(subscription.endpoint))}
        answer = await post(self._session, self._target(subscription.endpoint), body, headers)
        if isinstance(answer, Answer):
            return classify(answer)
        return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error)

    def _check(self, subscription: WebSubscription) -> None:
        settings = self._settings
        check_endpoint(subscription.endpoint, settings.allowed_hosts.split(), insecure=settings.allow_insecure)

    def _target(self, endpoint: URL) -> URL:
        if self._base is None:
            return endpoint
        return URL(f"{self._base}{endpoint.raw_path_qs}", encoded=True)


def payload(message: PushMessage) -> bytes:
    """The JSON that the service worker gets."""
    return _encode(
        {
            "title": message.title,
            "body": message.body,
            "tag": message.replaces,
            "notification_id": message.notification_id,
            "event_type": message.event_type,
        }
    )


def encrypt(content: bytes, subscription: WebSubscription) -> bytes:
    """In one record, for this subscription only, with a key pair of its own.

    Raises:
        ValueError: the subscription's key is no point of the curve.
    """
    encrypted: bytes = http_ece.encrypt(
        content,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=subscription.public_key,
        auth_secret=subscription.auth,
        rs=MAX_BODY,
        version="aes128gcm",
    )
    return encrypted


def _audience(endpoint: URL) -> str:
    """RFC 8292, section 2: the origin of the endpoint, its port only where it is not the scheme's own."""
    return str(endpoint.origin())


def _base(text: str) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"providers.webpush.base_url {text!r}: write https://host or leave it empty")
    return text.rstrip("/")
