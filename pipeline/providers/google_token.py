"""A Google OAuth access token that is always fresh and never blocks the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from firebase_admin import credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from pipeline.errors import ConfigurationError
from pipeline.providers.watched_file import WatchedFile

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with google-auth's naive UTC times
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
FAILURE_PAUSE = 1.0
"""Seconds that a failed fetch answers for all who ask, before the next one is tried."""
REFRESH_AHEAD = 300.0
"""Seconds before expiry at which a new token is fetched while the old one is still used."""


class TokenUnavailable(Exception):
    """No access token can be had. `retryable`: Google could not be reached, as opposed to a refused account."""

    def __init__(self, error: str, *, retryable: bool) -> None:
        super().__init__(error)
        self.error = error
        self.retryable = retryable


class TokenSource(Protocol):
    """Fetches one token, blocking: the token and its expiry in seconds since the epoch."""

    def __call__(self) -> tuple[str, float]: ...


class ServiceAccount:
    """A service-account file: the project it belongs to, and tokens for it. A rotated key is read when it is needed."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigurationError: it cannot be read or is no service account.
        """
        self._file = WatchedFile(path)
        self._file.changed()
        certificate = _read(path)
        self.project_id: str = certificate.project_id or ""
        self._credential = certificate.get_credential().with_scopes([SCOPE])

    def __call__(self) -> tuple[str, float]:
        """Fetch a token; blocks.

        Raises:
            TokenUnavailable: refused, or Google cannot be reached.
        """
        self._reread()
        try:
            self._credential.refresh(Request())
        except GoogleAuthError as error:
            raise TokenUnavailable(type(error).__name__, retryable=bool(error.retryable)) from error
        # google-auth keeps the expiry in UTC without saying so
        expiry: float = (self._credential.expiry - _EPOCH).total_seconds()
        return str(self._credential.token), expiry

    def _reread(self) -> None:
        if not self._file.changed():
            return
        try:
            self._credential = _read(self._file.path).get_credential().with_scopes([SCOPE])
        except ConfigurationError as error:  # half written, perhaps: the old key may still do
            log.warning("the old key stays in use: %s", error)
            self._file.forget()


def _read(path: Path) -> credentials.Certificate:
    try:
        return credentials.Certificate(str(path))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"providers.fcm.service_account: {path} is no service-account file ({type(error).__name__}); "
            "download one from the Firebase console"
        ) from None


class AccessToken:
    """Caches the token; one fetch at a time, in a thread, before the old one ends."""

    def __init__(self, source: TokenSource, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._token = ""
        self._expires_at = 0.0
        self._fetch: asyncio.Task[None] | None = None
        self._fetched_at = 0.0

    async def get(self) -> str:
        """A valid token; waits only where there is none.

        Raises:
            TokenUnavailable: there is none and none can be fetched.
        """
        left = self._expires_at - self._clock()
        if left > REFRESH_AHEAD:
            return self._token
        fetch = self._start_fetch()
        if left <= 0:
            await asyncio.shield(fetch)
        return self._token

    def discard(self, token: str) -> None:
        """Forget `token`, which was refused; does nothing if a newer one is here already."""
        if token == self._token:
            self._expires_at = 0.0

    async def close(self) -> None:
        if self._fetch is not None:
            await asyncio.gather(self._fetch, return_exceptions=True)

    def _start_fetch(self) -> asyncio.Task[None]:
        now = self._clock()
        if self._fetch is None or (self._fetch.done() and now - self._fetched_at >= FAILURE_PAUSE):
            self._fetched_at = now
            self._fetch = asyncio.create_task(self._refresh())
            self._fetch.add_done_callback(_log_failure)
        return self._fetch

    async def _refresh(self) -> None:
        self._token, self._expires_at = await asyncio.to_thread(self._source)


def _log_failure(fetch: "asyncio.Task[None]") -> None:
    if not fetch.cancelled() and (error := fetch.exception()):
        log.warning("cannot fetch a Google access token: %s", error)
