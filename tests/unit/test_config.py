import os
from pathlib import Path

import pytest

from pipeline.config import PREFIX, Settings
from pipeline.errors import ConfigurationError

TOKEN = "PIPELINE_PROVIDERS__TWILIO__AUTH_TOKEN"


@pytest.fixture(autouse=True)
def _no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def token() -> str:
    return Settings.load().providers.twilio.auth_token.get_secret_value()


def test_a_mounted_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "token"))
    assert token() == "from-file"


def test_variable_goes_before_file_before_yaml_before_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    yaml, secret = tmp_path / "pipeline.yaml", tmp_path / "token"
    yaml.write_text("providers: {twilio: {auth_token: from-yaml, from_number: '+1'}}")
    secret.write_text("from-file")
    assert token() == ""
    monkeypatch.setenv("PIPELINE_CONFIG", str(yaml))
    assert token() == "from-yaml"
    monkeypatch.setenv(f"{TOKEN}_FILE", str(secret))
    assert token() == "from-file"
    monkeypatch.setenv(TOKEN, "from-variable")
    assert token() == "from-variable"
    assert Settings.load().providers.twilio.from_number == "+1"


def test_librdkafka_properties_come_as_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_KAFKA__CLIENT", '{"security.protocol": "SASL_SSL"}')
    assert Settings.load().kafka.client == {"security.protocol": "SASL_SSL"}


def test_every_mistake_is_told_with_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DELIVERY__LEASE", "long")
    monkeypatch.setenv("PIPELINE_KAFKA__SERVERS", "a:1")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert "PIPELINE_DELIVERY__LEASE" in str(caught.value)
    assert "PIPELINE_KAFKA__SERVERS" in str(caught.value)


def test_a_secret_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=f"{TOKEN}_FILE names"):
        Settings.load()


def test_a_yaml_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_CONFIG", "/no/such/file")
    with pytest.raises(ConfigurationError, match="PIPELINE_CONFIG"):
        Settings.load()


def test_a_lease_that_a_send_would_outlast_is_refused_whatever_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DELIVERY__LEASE", "10")
    monkeypatch.setenv("PIPELINE_DELIVERY__PROVIDER_TIMEOUT", "10")
    with pytest.raises(ConfigurationError, match=r"delivery\.lease \(10 s\) must be longer than") as caught:
        Settings.load()
    assert "PIPELINE_DELIVERY__LEASE" in str(caught.value)
    assert "would be sent twice" in str(caught.value)
    monkeypatch.setenv("PIPELINE_DELIVERY__LEASE", "10.1")
    assert Settings.load().delivery.lease == 10.1


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("COUNTRY_RATES", '{"UK": 1}', "UK is GB"),
        ("COUNTRY_RATES", '{"de": 1}', "two capital letters"),
        ("PRICES", '{"XX": 1}', "XX"),
        ("MAX_PRICE", "0.5", r"set sms\.prices, with \* for all others"),
        ("MAX_SEGMENTS", "11", "PIPELINE_SMS__MAX_SEGMENTS"),
    ],
)
def test_a_slip_in_the_settings_of_sms_is_told(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"PIPELINE_SMS__{variable}", value)
    with pytest.raises(ConfigurationError, match=told):
        Settings.load()


def test_limits_and_senders_by_country_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_SMS__PRICES", '{"DE": 0.075, "*": 0.2}')
    monkeypatch.setenv("PIPELINE_SMS__MAX_PRICE", "0.5")
    monkeypatch.setenv("PIPELINE_PROVIDERS__VONAGE__SENDERS", '{"US": "+15005550006", "*": "Shop"}')
    settings = Settings.load()
    assert (settings.sms.prices["*"], settings.sms.max_price) == (0.2, 0.5)
    assert settings.providers.vonage.senders == {"US": "+15005550006", "*": "Shop"}
