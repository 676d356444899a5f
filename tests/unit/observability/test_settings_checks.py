"""Settings that contradict each other: each is told with the variable to change."""

from typing import Any

import pytest

from pipeline.config import Settings
from pipeline.observability.finding import Level
from pipeline.observability.settings_checks import settings_findings

WELL: dict[str, Any] = {"email": {"unsubscribe_secret": "s"}}

WRONG: list[tuple[dict[str, Any], str, Level, str]] = [
    ({"delivery": {"lease": 11, "provider_timeout": 10}}, "delivery.lease", Level.WARN, "more than 13 s"),
    ({"delivery": {"drain_timeout": 5}}, "delivery.drain_timeout", Level.WARN, "10 s or more"),
    ({"delivery": {"concurrency": 3000}}, "delivery.max_in_flight", Level.WARN, "several times"),
    ({"delivery": {"backoff_base": 90}}, "delivery.backoff_cap", Level.WARN, "longer than delivery.backoff_base"),
    ({"delivery": {"retention": 3600}}, "delivery.retention", Level.WARN, "router.idempotency_retention"),
    ({"breaker": {"open_for": 60}}, "breaker.open_cap", Level.WARN, "longer than breaker.open_for"),
    ({"kafka": {"client": {"sasl.username": "app"}}}, "kafka.client", Level.FAIL, "SASL_SSL"),
    ({"kafka": {"client": {"ssl.ca.location": "/ca.pem"}}}, "kafka.client", Level.FAIL, "SSL"),
    ({"store": {"archive": {"access_key": "AK"}}}, "store.archive.secret_key", Level.FAIL, "both"),
    ({"gateway": {"host": "192.0.2.1"}}, "http.public_url", Level.WARN, "address that recipients"),
    ({"email": {"unsubscribe_secret": ""}}, "email.unsubscribe_secret", Level.WARN, "openssl rand"),
    (
        {"providers": {"twilio": {"base_url": "http://sms.example.com"}}},
        "providers.twilio.base_url",
        Level.WARN,
        "https://",
    ),
]


def test_the_defaults_fit_together() -> None:
    (finding,) = settings_findings(Settings.model_validate(WELL))
    assert finding.level is Level.OK


@pytest.mark.parametrize(("wrong", "setting", "level", "remedy"), WRONG, ids=[row[1] for row in WRONG])
def test_a_contradiction_names_the_setting_to_change_and_how(
    wrong: dict[str, Any], setting: str, level: Level, remedy: str
) -> None:
    (finding,) = settings_findings(Settings.model_validate(WELL | wrong))
    assert (finding.name, finding.level) == (f"configuration {setting}", level)
    assert remedy in finding.remedy
    assert "PIPELINE_" + setting.upper().replace(".", "__") in finding.remedy


def test_encrypted_sasl_and_tls_are_no_contradiction() -> None:
    client = {"security.protocol": "SASL_SSL", "sasl.username": "app", "ssl.ca.location": "/ca.pem"}
    (finding,) = settings_findings(Settings.model_validate(WELL | {"kafka": {"client": client}}))
    assert finding.level is Level.OK
