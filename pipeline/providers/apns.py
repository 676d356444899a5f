"""Apple Push Notification service: HTTP/2, token authentication, production and sandbox side by side."""

import re
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from yarl import URL

from pipeline.config import ApnsSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.apns_http2 import AnswerLost, ApnsAnswer, NotProcessed, request_headers
from pipeline.providers.apns_pool import ApnsPool, Unreachable, tls_context
from pipeline.providers.apns_table import NAME, WRONG_PLACE, classify
from pipeline.providers.apns_token import ProviderToken
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.push_message import MAX_TTL, PushMessage, PushRequest, TooLarge, apns_collapse_id
from pipeline.users.snapshot import Device

MAX_PAYLOAD = 4096
"""Bytes. https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification"""

_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
"""Their length may change, says Apple; it has been 32 bytes so far, and 80 for some kinds."""
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")
_TOKEN_REASONS = {"ExpiredProviderToken", "InvalidProviderToken"}
_encode = msgspec.json.Encoder().encode


class _Place(NamedTuple):
    """Where a device belongs: a token is good in one environment and for one topic only."""

    environment: str
    topic: str


class Apns:
    """A client for one team's signing key, in both environments."""

    name = NAME

    def __init__(self, settings: ApnsSettings, *, timeout: float, clock: Callable[[], float] = time.time) -> None:
        """Read the key; `timeout` (seconds) bounds the wait for each answer.

        Raises:
            ConfigurationError: a setting is missing, or the key cannot be used.
        """
        self._token = _provider_token(settings, clock)
        self._settings = settings
        self._clock = clock
        self._proven: set[_Place] = set()
        tls = _tls(settings)
        self._hosts = {name: _server(url) for name, url in _urls(settings).items()}
        self._pools = {
            name: ApnsPool(url, tls, size=settings.connections, timeout=timeout) for name, url in self._hosts.items()
        }

    async def start(self) -> None:
        """Connections are opened when they are needed."""

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    def prepare(self, message: PushMessage, devices: Sequence[Device]) -> list[PushRequest]:
        """One request for each device, which has an ``apns-id`` of its own that a repeated try has again.

        Raises:
            TooLarge: the message takes more than `MAX_PAYLOAD`.
        """
        body = payload(message)
        if len(body) > MAX_PAYLOAD:
            raise TooLarge(NAME, len(body), MAX_PAYLOAD)
        expires_at = message.expires_at if message.expires_at is not None else int(self._clock()) + MAX_TTL
        headers = {
            "apns-push-type": "alert",
            "apns-priority": "10" if message.high_priority else "5",
            "apns-expiration": str(expires_at),
            "apns-collapse-id": apns_collapse_id(message.replaces),
        }
        return [
            PushRequest(device, body, {"apns-id": _apns_id(message.notification_id, device), **headers})
            for device in devices
        ]

    async def send(self, request: PushRequest) -> SendResult:
        """Send one message. A provider token that has aged out is renewed once."""
        place = self._place(request.device)
        if not _TOKEN.fullmatch(request.device.token) or not _TOPIC.fullmatch(place.topic):
            return SendResult(outcome=Outcome.PERMANENT, provider=NAME, error="malformed_device")
        authorization = self._token.get_header()
        result = await self._post(request, place, authorization)
        if result.error in _TOKEN_REASONS and self._token.renew(authorization, expired=result.error.startswith("E")):
            result = await self._post(request, place, self._token.get_header())
        if result.outcome is Outcome.ACCEPTED:
            self._proven.add(place)
        return result

    async def check(self, environment: str = "") -> SendResult:
        """Whether APNs takes our credentials, ACCEPTED if so: asked with a device that cannot exist, so nobody gets it.

        `environment` empty: the account's.
        """
        nobody = Device("", "ios", "00" * 32, environment)
        body = _encode({"aps": {"content-available": 1}, "notification_id": "check", "event_type": "check"})
        headers = {"apns-id": str(uuid.uuid4()), "apns-push-type": "background", "apns-priority": "5"}
        result = await self.send(PushRequest(nobody, body, {**headers, "apns-expiration": "0"}))
        if result.error in WRONG_PLACE or result.outcome is Outcome.INVALID_RECIPIENT:
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return result

    async def _post(self, request: PushRequest, place: _Place, authorization: str) -> SendResult:
        others = {**request.headers, "apns-topic": place.topic, "authorization": authorization}
        headers = request_headers(self._hosts[place.environment].authority, request.device.token, others)
        try:
            answer = await self._pools[place.environment].request(headers, request.body)
        except (Unreachable, NotProcessed, AnswerLost) as error:
            return _no_answer(error)
        return self._classified(answer, place)

    def _classified(self, answer: ApnsAnswer, place: _Place) -> SendResult:
        return classify(answer, place_proven=place in self._proven, now=self._clock())

    def _place(self, device: Device) -> _Place:
        return _Place(device.environment or self._settings.environment, device.app or self._settings.topic)


def _apns_id(notification_id: str, device: Device) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{notification_id}/{device.token}"))


def is_apns_token(token: str) -> bool:
    """Whether it looks like a device token of APNs, as opposed to a registration token of FCM."""
    return _TOKEN.fullmatch(token) is not None


def payload(message: PushMessage) -> bytes:
    """The JSON that the app gets. What is urgent makes a sound."""
    alert = {"title": message.title, "body": message.body}
    aps = {"alert": alert, "sound": "default"} if message.high_priority else {"alert": alert}
    return _encode({"aps": aps, "notification_id": message.notification_id, "event_type": message.event_type})


def _no_answer(error: Unreachable | NotProcessed | AnswerLost) -> SendResult:
    """Only a lost answer leaves open whether APNs has the message."""
    if isinstance(error, AnswerLost):
        return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error=error.error)
    refused = isinstance(error, Unreachable) and error.certificate
    return SendResult(outcome=Outcome.CONFIGURATION if refused else Outcome.TRANSIENT, provider=NAME, error=error.error)


def _provider_token(settings: ApnsSettings, clock: Callable[[], float]) -> ProviderToken:
    required = {"signing_key": settings.signing_key, "team_id": settings.team_id, "topic": settings.topic}
    if missing := [f"providers.apns.{name}" for name, value in required.items() if not value]:
        raise ConfigurationError(f"set {', '.join(missing)} to reach Apple devices through APNs")
    if not _TOPIC.fullmatch(settings.topic):
        raise ConfigurationError(f"providers.apns.topic {settings.topic!r} is no bundle id, such as com.example.app")
    assert settings.signing_key
    return ProviderToken(settings.signing_key, key_id=settings.key_id, team_id=settings.team_id, clock=clock)


def _urls(settings: ApnsSettings) -> dict[str, str]:
    return {"production": settings.base_url, "sandbox": settings.sandbox_base_url}


def _server(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"https", "http"} or not url.host:
        raise ConfigurationError(f"providers.apns.base_url {text!r}: write https://host or https://host:port")
    return url


def _tls(settings: ApnsSettings) -> ssl.SSLContext:
    try:
        return tls_context(str(settings.ca_certificates) if settings.ca_certificates else None)
    except OSError as error:
        raise ConfigurationError(
            f"providers.apns.ca_certificates: {settings.ca_certificates} holds no certificates in PEM: {error}"
        ) from None
