"""``pipeline doctor`` asks each push provider about our credentials, and nobody gets a message for it."""

import pytest

from pipeline.config import Settings
from pipeline.observability.finding import Finding, Level
from pipeline.observability.push_checks import examine_push
from pipeline.testing.providers import Providers


def configure(monkeypatch: pytest.MonkeyPatch, providers: Providers, **others: str) -> Settings:
    for name, value in (providers.environment() | others).items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


async def test_good_accounts_are_all_well_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        findings = await examine_push(configure(monkeypatch, providers).providers)
        assert levels(findings) == {"fcm account": Level.OK, "apns account": Level.OK, "webpush account": Level.OK}
        assert providers.received()["push"] == {}


async def test_refused_accounts_say_which_settings_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        wrong = {
            "PIPELINE_PROVIDERS__APNS__TEAM_ID": "STRANGER01",
            "PIPELINE_PROVIDERS__FCM__PROJECT_ID": "another-project",
            "PIPELINE_PROVIDERS__WEBPUSH__VAPID_KEY": "nonsense",
        }
        findings = await examine_push(configure(monkeypatch, providers, **wrong).providers)
    assert set(levels(findings).values()) == {Level.FAIL}
    assert [finding.remedy for finding in findings] == [
        "mend providers.fcm",
        "mend providers.apns",
        "mend providers.webpush",
    ]
    assert "nonsense" not in str(findings)


async def test_a_provider_that_is_away_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        away = {
            "PIPELINE_PROVIDERS__APNS__BASE_URL": "https://127.0.0.1:9",
            "PIPELINE_PROVIDERS__FCM__BASE_URL": "http://127.0.0.1:9",
        }
        findings = await examine_push(configure(monkeypatch, providers, **away).providers)
    assert levels(findings) == {"fcm account": Level.WARN, "apns account": Level.WARN, "webpush account": Level.OK}


async def test_accounts_that_are_not_set_up_are_no_finding() -> None:
    assert await examine_push(Settings().providers) == []
