"""``pipeline doctor`` asks each push provider about our credentials, and nobody gets a message for it."""

import pytest

from pipeline.channels.factory import OFFERS
from pipeline.config import Settings
from pipeline.events.vocabulary import Channel
from pipeline.observability.account_checks import CHECKS, examine_push, examine_sms
from pipeline.observability.finding import Finding, Level
from pipeline.testing.providers import Providers


def configure(monkeypatch: pytest.MonkeyPatch, providers: Providers, **others: str) -> Settings:
    for name, value in (providers.environment() | others).items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


async def test_good_accounts_are_all_well_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        findings = await examine_push(configure(monkeypatch, providers))
        assert levels(findings) == {"fcm account": Level.OK, "apns account": Level.OK, "webpush account": Level.OK}
        assert providers.received()["push"] == {}


async def test_refused_accounts_say_which_settings_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        wrong = {
            "PIPELINE_PROVIDERS__APNS__TEAM_ID": "STRANGER01",
            "PIPELINE_PROVIDERS__FCM__PROJECT_ID": "another-project",
            "PIPELINE_PROVIDERS__WEBPUSH__VAPID_KEY": "nonsense",
        }
        findings = await examine_push(configure(monkeypatch, providers, **wrong))
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
        findings = await examine_push(configure(monkeypatch, providers, **away))
    assert levels(findings) == {"fcm account": Level.WARN, "apns account": Level.WARN, "webpush account": Level.OK}


async def test_accounts_that_are_not_set_up_are_no_finding() -> None:
    assert await examine_push(Settings()) == []


async def test_a_twilio_account_is_judged_by_its_own_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Providers() as providers:
        (well,) = await examine_sms(configure(monkeypatch, providers))
        providers.twilio.account_status = "suspended"
        (suspended,) = await examine_sms(configure(monkeypatch, providers))
        (refused,) = await examine_sms(
            configure(monkeypatch, providers, PIPELINE_PROVIDERS__TWILIO__AUTH_TOKEN="other")
        )
        assert providers.received()["sms"] == {}
    assert well.level is Level.OK
    assert (suspended.level, suspended.detail) == (Level.FAIL, "refused: suspended")
    assert (refused.level, refused.remedy) == (Level.FAIL, "mend providers.twilio")


async def test_sms_that_nobody_has_set_up_is_no_finding() -> None:
    assert await examine_sms(Settings()) == []


def test_every_provider_that_can_be_listed_has_a_check() -> None:
    listable = {channel: set(offers) for channel, offers in OFFERS.items() if channel is not Channel.IN_APP}
    assert listable == {channel: set(checks) for channel, checks in CHECKS.items()}
