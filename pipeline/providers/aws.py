"""Signs requests to AWS (Signature Version 4) by botocore's signer; its client, which blocks, is not used."""

import asyncio
from typing import Any, NamedTuple

from pipeline.errors import ConfigurationError


class Keys(NamedTuple):
    """Credentials as an account's settings give them."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


class AwsSigner:
    """Signs for one service in one region. Call `load` before the first `sign`."""

    def __init__(self, service: str, region: str, keys: Keys | None) -> None:
        """`keys` None: wherever AWS tools look (environment, shared files, the role of the pod or machine)."""
        self._service = service
        self._region = region
        self._keys = keys
        self._credentials: Any = None

    async def load(self) -> None:
        """Find the credentials; that may ask a server and so happens in a thread.

        Raises:
            ConfigurationError: there are none.
        """
        self._credentials = await asyncio.to_thread(_find, self._keys)
        if self._credentials is None:
            raise ConfigurationError(
                "there are no AWS credentials: set access_key_id and secret_access_key, or give the process a role"
            )

    async def sign(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        """`headers` and those that carry the signature. Temporary credentials are renewed before they expire."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        credentials = self._credentials
        if getattr(credentials, "refresh_needed", bool)():
            await asyncio.to_thread(credentials.get_frozen_credentials)
        request = AWSRequest(method, url, data=body, headers=headers)
        SigV4Auth(credentials.get_frozen_credentials(), self._service, self._region).add_auth(request)
        return dict(request.headers.items())


def _find(keys: Keys | None) -> Any:
    from botocore.credentials import Credentials
    from botocore.session import Session

    if keys:
        return Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    return Session().get_credentials()
