"""Firebase Cloud Messaging, HTTP v1: one request a device. Retries are the delivery engine's business."""

from collections.abc import Callable, Sequence
from functools import partial

import aiohttp
import msgspec
from yarl import URL

from pipeline.config import FcmSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.fcm_message import MAX_PAYLOAD, device_body, open_body, validation_body
from pipeline.providers.google_token import AccessToken, ServiceAccount, TokenSource, TokenUnavailable
from pipeline.providers.http import Answer, open_session, post
from pipeline.providers.push_message import PushMessage, PushRequest, TooLarge
from pipeline.providers.table import Row
from pipeline.users.snapshot import Device

NAME = "fcm"

_CODES = "https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"
_GUIDE = "https://firebase.google.com/docs/cloud-messaging/error-codes"
_HTTP = "https://cloud.google.com/apis/design/errors#handling_errors"

ERROR_CODES: dict[str, Row] = {
    "UNREGISTERED": Row(Outcome.INVALID_RECIPIENT, _CODES),
    "INVALID_ARGUMENT": Row(Outcome.PERMANENT, _CODES),
    "SENDER_ID_MISMATCH": Row(Outcome.INVALID_RECIPIENT, _CODES),
    "QUOTA_EXCEEDED": Row(Outcome.THROTTLED, _CODES),
    "UNAVAILABLE": Row(Outcome.TRANSIENT, _CODES),
    "INTERNAL": Row(Outcome.TRANSIENT, _CODES),
    "THIRD_PARTY_AUTH_ERROR": Row(Outcome.CONFIGURATION, _CODES),
}
"""By ``FcmError.errorCode``; comes before the HTTP status. `classify` says where a row has a condition."""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _GUIDE),
    401: Row(Outcome.CONFIGURATION, _GUIDE, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _GUIDE, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _GUIDE, Scope.ACCOUNT),
    408: Row(Outcome.TRANSIENT, _HTTP),
    413: Row(Outcome.PERMANENT, _HTTP),
    429: Row(Outcome.THROTTLED, _GUIDE),
    500: Row(Outcome.TRANSIENT, _GUIDE),
    502: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _GUIDE),
    504: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status, where the answer names no error code. A bare 404 is a wrong project or address, no dead device."""


class _Violation(msgspec.Struct):
    field: str = ""


class _Detail(msgspec.Struct):
    code: str = msgspec.field(default="", name="errorCode")
    violations: list[_Violation] = msgspec.field(default_factory=list, name="fieldViolations")


class _Error(msgspec.Struct):
    status: str = ""
    details: list[_Detail] = []


class _Reply(msgspec.Struct):
    name: str = ""
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Reply).decode


def classify(answer: Answer, *, project_proven: bool) -> SendResult:
    """What an answer means.

    `project_proven`: this account has had messages accepted. Without that, SENDER_ID_MISMATCH says that our project
    is the wrong one, and pruning would empty the device registry.
    """
    try:
        reply = _decode(answer.body)
    except msgspec.DecodeError:
        reply = _Reply()
    if answer.status == 200:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, retry_after=answer.retry_after)
    details = reply.error.details if reply.error else []
    code = next((detail.code for detail in details if detail.code), "")
    fields = {violation.field for detail in details for violation in detail.violations}
    if code == "INVALID_ARGUMENT" and "message.token" in fields:
        return result(outcome=Outcome.INVALID_RECIPIENT, error=code)
    if code == "SENDER_ID_MISMATCH" and not project_proven:
        return result(outcome=Outcome.CONFIGURATION, error=code)
    if row := ERROR_CODES.get(code):
        return result(outcome=row.outcome, error=code, scope=row.scope)
    outcome, scope = _by_status(answer.status)
    return result(outcome=outcome, error=str(answer.status), scope=scope)


def _accepted(reply: _Reply) -> SendResult:
    """A 200 without a message name is not FCM speaking: a proxy, perhaps after FCM had accepted."""
    if reply.name:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.name.rpartition("/")[2])
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")


def _by_status(status: int) -> tuple[Outcome, Scope]:
    if row := STATUSES.get(status):
        return row.outcome, row.scope
    if status >= 500:
        return Outcome.TRANSIENT, Scope.UNKNOWN
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION, Scope.UNKNOWN


class Fcm:
    """A client for one Firebase project."""

    name = NAME

    def __init__(
        self, settings: FcmSettings, *, timeout: float, open_account: Callable[[], "Account"] | None = None
    ) -> None:
        """Read the account.

        Raises:
            ConfigurationError: there is no usable service account.
        """
        account = open_account() if open_account else _service_account(settings)
        project = settings.project_id or account.project_id
        self._url = URL(f"{settings.base_url.rstrip('/')}/v1/projects/{project}/messages:send", encoded=True)
        self._token = AccessToken(account)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._project_proven = False

    async def start(self) -> None:
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        await self._token.close()
        if self._session:
            await self._session.close()

    def prepare(self, message: PushMessage, devices: Sequence[Device]) -> list[PushRequest]:
        """One request for each device; they share all but the token.

        Raises:
            TooLarge: the message takes more than `MAX_PAYLOAD`.
        """
        opened = open_body(message)
        if len(opened) > MAX_PAYLOAD:
            raise TooLarge(NAME, len(opened), MAX_PAYLOAD)
        return [PushRequest(device, device_body(opened, device.token)) for device in devices]

    async def send(self, request: PushRequest) -> SendResult:
        """Send one message. A refused access token is renewed once."""
        return await self._send(request.body)

    async def validate(self, token: str) -> SendResult:
        """Ask whether FCM would send to `token`: ACCEPTED if it would. Nothing is sent."""
        return await self._send(validation_body(token))

    async def check(self) -> SendResult:
        """Whether FCM takes our credentials, ACCEPTED if so: a dry run for a device that cannot exist."""
        result = await self.validate("no-device")
        if result.outcome in {Outcome.INVALID_RECIPIENT, Outcome.PERMANENT}:
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return result

    async def _send(self, body: bytes) -> SendResult:
        try:
            token = await self._token.get()
            result = await self._post(body, token)
            if result.error == "401":
                self._token.discard(token)
                result = await self._post(body, await self._token.get())
        except TokenUnavailable as error:
            outcome = Outcome.TRANSIENT if error.retryable else Outcome.CONFIGURATION
            return SendResult(outcome=outcome, provider=NAME, error=error.error, scope=Scope.ACCOUNT)
        self._project_proven = self._project_proven or result.outcome is Outcome.ACCEPTED
        return result

    async def _post(self, body: bytes, token: str) -> SendResult:
        assert self._session is not None, "start() comes first"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await post(self._session, self._url, body, headers)
        if isinstance(answer, Answer):
            return classify(answer, project_proven=self._project_proven)
        return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)


class Account(TokenSource):
    """A source of tokens that knows its project."""

    project_id: str


def _service_account(settings: FcmSettings) -> ServiceAccount:
    if settings.service_account is None:
        raise ConfigurationError("providers.fcm.service_account is not set: name a service-account JSON file")
    return ServiceAccount(settings.service_account)
