"""A simulator of FCM HTTP v1, with the OAuth token endpoint of a service account that it makes up."""

import json
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qs

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.fcm_checks import read_request
from pipeline.testing.http_simulator import Accepted, HttpSimulator, Invalid, Reply

PROJECT = "simulated-project"
TOKEN_LIFETIME = 3600

_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_JSON = {"Content-Type": "application/json; charset=UTF-8"}
_GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
"""google-auth names this audience whatever the account's ``token_uri`` is."""
_DRY_RUN = json.dumps({"name": f"projects/{PROJECT}/messages/fake_message_id"}).encode()
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def error_reply(status: int, name: str, code: str = "", *, field: str = "", retry_after: int | None = None) -> Reply:
    """An error as FCM writes it: `name` is the gRPC status, `code` the FcmError code, `field` what it violates."""
    details: list[dict[str, object]] = []
    if code:
        details.append({"@type": _TYPE, "errorCode": code})
    if field:
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [{"field": field, "description": "invalid"}]})
    error = {"code": status, "message": "simulated", "status": name, **({"details": details} if details else {})}
    headers = _JSON if retry_after is None else {**_JSON, "Retry-After": str(retry_after)}
    return Reply(status, json.dumps({"error": error}).encode(), headers)


class FcmSimulator(HttpSimulator):
    """FCM for one made-up project. Write the account with `write_service_account` once it is started."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(script)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._email = f"simulator@{PROJECT}.iam.gserviceaccount.com"
        self._tokens: dict[str, float] = {}
        self._gone: set[str] = set()
        self.tokens_issued = 0
        self.validated = 0

    def write_service_account(self, path: Path) -> None:
        """Write the account's JSON file, readable by its owner only."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "simulated",
            "private_key": pem.decode(),
            "client_email": self._email,
            "client_id": "1",
            "token_uri": self._token_uri,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(account))

    def revoke_tokens(self) -> None:
        """Refuse every access token that was issued until now."""
        self._tokens.clear()

    @property
    def _token_uri(self) -> str:
        return f"{self.base_url}/token"

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:
        """The OAuth token endpoint (RFC 7523)."""
        if request.path != "/token":
            return None
        form = parse_qs(body.decode())
        try:
            jwt.decode(
                form["assertion"][0],
                self._key.public_key(),
                algorithms=["RS256"],
                audience=[_GOOGLE_AUDIENCE, self._token_uri],
                issuer=self._email,
            )
        except (KeyError, jwt.InvalidTokenError) as error:
            return Reply(400, json.dumps({"error": "invalid_grant", "error_description": str(error)}).encode(), _JSON)
        if form.get("grant_type") != [_GRANT]:
            return Reply(400, b'{"error": "unsupported_grant_type"}', _JSON)
        return self._issue()

    def unregister(self, token: str) -> None:
        """From now on this device is gone."""
        self._gone.add(token)

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """See `HttpSimulator.accept`."""
        if request.method != "POST" or request.path != f"/v1/projects/{PROJECT}/messages:send":
            raise Invalid("path", Reply(404, b"<!DOCTYPE html><title>Error 404 (Not Found)</title>"))
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(bearer, 0) < time.time():
            raise Invalid("token", error_reply(401, "UNAUTHENTICATED"))
        try:
            message, dry_run = read_request(body)
        except ValueError as error:
            raise Invalid(f"body: {error}", error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")) from error
        if not message.token:
            raise Invalid("no token", error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message"))
        if message.token in self._gone:
            raise Invalid("unregistered", error_reply(404, "NOT_FOUND", "UNREGISTERED"))
        if dry_run:
            self.validated += 1
            return Accepted("", message.token, Reply(200, _DRY_RUN, _JSON))
        name = f"projects/{PROJECT}/messages/{secrets.token_hex(8)}"
        reply = Reply(200, json.dumps({"name": name}).encode(), _JSON)
        return Accepted(message.data["notification_id"], message.token, reply)

    def refusal(self, fault: Fault) -> Reply:
        """See `HttpSimulator.refusal`."""
        match fault:
            case Fault.INVALID_RECIPIENT:
                return error_reply(404, "NOT_FOUND", "UNREGISTERED")
            case Fault.REJECTED:
                return error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
            case Fault.CONFIGURATION:
                return error_reply(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
            case Fault.THROTTLED:
                wait = self.script.behaviour.retry_after
                return error_reply(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after=wait)
            case _:
                return error_reply(503, "UNAVAILABLE", "UNAVAILABLE")

    def _issue(self) -> Reply:
        token = secrets.token_urlsafe(32)
        self._tokens = {token: time.time() + TOKEN_LIFETIME, **dict(list(self._tokens.items())[:100])}
        self.tokens_issued += 1
        answer = {"access_token": token, "expires_in": TOKEN_LIFETIME, "token_type": "Bearer"}
        return Reply(200, json.dumps(answer).encode(), _JSON)
