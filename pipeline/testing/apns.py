"""A simulator of APNs: HTTP/2 over TLS, for a team and a signing key that it makes up."""

import asyncio
import json
import time
import uuid
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from h2.errors import ErrorCodes

from pipeline.testing.apns_checks import STATUS, ApnsRefusal, check_headers, read_device, read_payload
from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http2 import Http2Request, Http2Server
from pipeline.testing.http_simulator import Reply
from pipeline.testing.received import Received
from pipeline.testing.tls import LocalCertificate

KEY_ID = "SIMULATED1"
TEAM_ID = "SIMTEAM001"
TOPIC = "com.example.app"
TOKEN_AGE = 3600
"""Seconds after which a provider token is refused."""
TOKEN_PAUSE = 1200
"""Seconds that have to lie between two provider tokens of a key."""


def error_reply(reason: str, *, timestamp: int | None = None, retry_after: int | None = None) -> Reply:
    """An error as APNs writes it; `timestamp` in milliseconds, with a 410."""
    body = {"reason": reason} | ({} if timestamp is None else {"timestamp": timestamp})
    return Reply(
        STATUS[reason], json.dumps(body).encode(), {} if retry_after is None else {"retry-after": str(retry_after)}
    )


class ProviderTokens:
    """Checks ``authorization`` headers for one key: signature, age, and how often they change."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._keys = {KEY_ID: self._key.public_key()}
        self._good: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    def write_key(self, path: Path, key_id: str = KEY_ID) -> None:
        """Write a signing key, readable by its owner only; for another `key_id`, a new key that is accepted too."""
        key = self._key if key_id == KEY_ID else ec.generate_private_key(ec.SECP256R1())
        self._keys[key_id] = key.public_key()
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    @property
    def seen(self) -> int:
        """How many different tokens were accepted."""
        return len(self._good)

    def expire(self) -> None:
        """Refuse every token that was accepted until now as too old."""
        self._good = dict.fromkeys(self._good, 0)
        self._latest.clear()

    def revoke(self, key_id: str) -> None:
        """Refuse a key from now on."""
        del self._keys[key_id]
        self._good.clear()

    def check(self, header: str | None) -> None:
        """Check one header.

        Raises:
            ApnsRefusal: it is not accepted.
        """
        if header is None:
            raise ApnsRefusal("MissingProviderToken")
        issued_at = self._good.get(header)
        if issued_at is None:
            issued_at = self._read(header)
        if time.time() - issued_at > TOKEN_AGE:
            raise ApnsRefusal("ExpiredProviderToken")

    def _read(self, header: str) -> int:
        token = header.removeprefix("bearer ")
        try:
            key_id = jwt.get_unverified_header(token)["kid"]
            # a clock that is ahead is no matter here: what counts is the age
            claims = jwt.decode(
                token, self._keys[key_id], algorithms=["ES256"], issuer=TEAM_ID, options={"verify_iat": False}
            )
            issued_at = int(claims["iat"])
        except (KeyError, ValueError, jwt.InvalidTokenError) as error:
            raise ApnsRefusal("InvalidProviderToken", type(error).__name__) from error
        if issued_at - self._latest.get(key_id, 0) < TOKEN_PAUSE:
            raise ApnsRefusal("TooManyProviderTokenUpdates")
        self._good[header] = self._latest[key_id] = issued_at
        return issued_at


class ApnsSimulator:
    """One environment of APNs on a free local port. Use as an async context manager.

    `topics` are the apps that the key may send to. Any well-formed device token is taken but for those that were
    given to `unregister`, or `misplace` (they belong to the other environment), and the one of zeros.
    """

    def __init__(
        self, script: Script | None = None, *, received: Received | None = None, topics: tuple[str, ...] = (TOPIC,)
    ) -> None:
        self.script = script or Script()
        self.received = received if received is not None else Received()
        self.tokens = ProviderTokens()
        self.base_url = ""
        self.certificate = Path()
        self.requests: deque[Http2Request] = deque(maxlen=100)
        self._topics = topics
        self._replies: deque[Reply] = deque()
        self._unregistered: dict[str, int] = {}
        self._misplaced = {"00" * 32}
        self._server: Http2Server | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="simulated-apns-")))
        certificate = LocalCertificate(folder)
        self._server = Http2Server(self._handle, certificate.server_context(["h2"]))
        await self._stack.enter_async_context(self._server)
        self.base_url, self.certificate = self._server.base_url, certificate.path
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def server(self) -> Http2Server:
        """What it runs on, to cut connections or to send GOAWAY."""
        assert self._server, "it is not started"
        return self._server

    def answer_next(self, *replies: Reply) -> None:
        """The next valid requests get these answers, in order, and are not accepted."""
        self._replies.extend(replies)

    def unregister(self, token: str, at: float) -> None:
        """From now on this device is gone, and APNs knew it at `at` (epoch seconds)."""
        self._unregistered[token] = int(at * 1000)

    def misplace(self, token: str) -> None:
        """This device belongs to the other environment."""
        self._misplaced.add(token)

    async def _handle(self, request: Http2Request) -> None:
        self.requests.append(request)
        try:
            token, notification_id = self._check(request)
        except ApnsRefusal as refusal:
            self.received.refuse(str(refusal))
            return _answer(request, error_reply(refusal.reason, timestamp=self._gone_since(request, refusal)))
        if delay := self.script.delay():
            await asyncio.sleep(delay)
        if self._replies:
            self.received.refuse("scripted")
            return _answer(request, self._replies.popleft())
        return self._carry_out(self.script.fault(), request, notification_id, token)

    def _check(self, request: Http2Request) -> tuple[str, str]:
        headers = request.headers
        token = read_device(headers.get(":method", ""), headers.get(":path", ""))
        self.tokens.check(headers.get("authorization"))
        check_headers(list(request.all_headers))
        topic = headers.get("apns-topic")
        if not topic:
            raise ApnsRefusal("MissingTopic")
        if topic not in self._topics:
            raise ApnsRefusal("TopicDisallowed")
        notification_id = read_payload(request.body)
        if token in self._misplaced:
            raise ApnsRefusal("BadDeviceToken")
        if token in self._unregistered:
            raise ApnsRefusal("Unregistered")
        return token, notification_id

    def _gone_since(self, request: Http2Request, refusal: ApnsRefusal) -> int | None:
        if refusal.reason != "Unregistered":
            return None
        return self._unregistered[request.headers[":path"].rpartition("/")[2]]

    def _carry_out(self, fault: Fault | None, request: Http2Request, notification_id: str, token: str) -> None:
        """A reset concerns one stream, as it concerns one request of HTTP/1.1; `server` cuts whole connections."""
        match fault:
            case None | Fault.RESET_AFTER | Fault.NO_ANSWER:
                self.received.accept(notification_id, token)
            case _:
                self.received.refuse(fault)
        match fault:
            case None:
                apns_id = request.headers.get("apns-id") or str(uuid.uuid4())
                request.answer(200, {"apns-id": apns_id, "apns-unique-id": str(uuid.uuid4())})
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                request.reset(ErrorCodes.INTERNAL_ERROR)
            case Fault.NO_ANSWER:
                pass
            case _:
                _answer(request, self._refusal(fault))

    def _refusal(self, fault: Fault) -> Reply:
        match fault:
            case Fault.INVALID_RECIPIENT:
                return error_reply("Unregistered", timestamp=int(time.time() * 1000))
            case Fault.REJECTED:
                return error_reply("BadCollapseId")
            case Fault.CONFIGURATION:
                return error_reply("InvalidProviderToken")
            case Fault.THROTTLED:
                return error_reply("TooManyRequests", retry_after=self.script.behaviour.retry_after)
            case _:
                return error_reply("ServiceUnavailable")


def _answer(request: Http2Request, reply: Reply) -> None:
    apns_id = request.headers.get("apns-id") or str(uuid.uuid4())
    request.answer(reply.status, {"apns-id": apns_id, **reply.headers}, [reply.body] if reply.body else [])
