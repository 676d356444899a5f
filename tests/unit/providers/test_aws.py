"""Signing for AWS: keys from the settings, else from where AWS tools look; temporary ones renewed in time."""

from pathlib import Path

import pytest
from botocore.credentials import Credentials

from pipeline.errors import ConfigurationError
from pipeline.providers.aws import AwsSigner, Keys

URL = "https://email.eu-west-1.amazonaws.com/v2/email/account"


@pytest.fixture(autouse=True)
def _nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine, and no question to a metadata service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def test_the_keys_of_the_settings_sign() -> None:
    signer = AwsSigner("ses", "eu-west-1", Keys("AKIAEXAMPLE", "secret", "session"))
    await signer.load()
    headers = await signer.sign("GET", URL, b"", {})
    assert "Credential=AKIAEXAMPLE/" in headers["Authorization"]
    assert "/eu-west-1/ses/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "session"
    assert "secret" not in headers["Authorization"]


async def test_without_keys_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    signer = AwsSigner("ses", "eu-west-1", None)
    await signer.load()
    assert "AKIAENVIRONMENT" in (await signer.sign("GET", URL, b"", {}))["Authorization"]


async def test_no_credentials_anywhere_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="access_key_id"):
        await AwsSigner("ses", "eu-west-1", None).load()


async def test_temporary_credentials_are_renewed_before_they_expire() -> None:
    class Temporary:
        renewals = 0

        def refresh_needed(self) -> bool:
            return self.renewals == 0

        def get_frozen_credentials(self) -> object:
            self.renewals += self.refresh_needed()
            return Credentials(f"AKIA{self.renewals}", "secret").get_frozen_credentials()

    signer, temporary = AwsSigner("ses", "eu-west-1", None), Temporary()
    signer._credentials = temporary
    for _ in range(2):
        assert "Credential=AKIA1/" in (await signer.sign("GET", URL, b"", {}))["Authorization"]
    assert temporary.renewals == 1
