import pytest

from pipeline.providers.apns_http2 import ApnsAnswer
from pipeline.providers.apns_table import REASONS, STATUSES, WRONG_PLACE, classify
from pipeline.providers.base import Outcome, SendResult
from pipeline.testing.apns import error_reply
from pipeline.testing.apns_checks import STATUS

NOW = 1_771_840_800.0


def result(status: int, body: bytes = b"", *, proven: bool = True, retry_after: str = "") -> SendResult:
    headers = {b":status": str(status).encode()} | ({b"retry-after": retry_after.encode()} if retry_after else {})
    return classify(ApnsAnswer(status, headers, body), place_proven=proven, now=NOW)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_its_outcome_whatever_the_status(reason: str) -> None:
    for status in (STATUS[reason], 400, 500):
        answer = result(status, error_reply(reason).body)
        assert (answer.outcome, answer.error) == (REASONS[reason].outcome, reason)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"reason": "NewThing"}', b'{"reason": 1}', b"[1]"])
def test_without_a_known_reason_the_status_decides_whatever_the_body_is(status: int, body: bytes) -> None:
    assert result(status, body).outcome is STATUSES[status].outcome


@pytest.mark.parametrize(
    ("status", "expected"), [(418, Outcome.PERMANENT), (599, Outcome.TRANSIENT), (301, Outcome.CONFIGURATION)]
)
def test_an_unknown_status_follows_its_class(status: int, expected: Outcome) -> None:
    assert result(status).outcome is expected


@pytest.mark.parametrize("reason", sorted(WRONG_PLACE))
def test_the_wrong_environment_or_topic_does_not_empty_the_device_registry(reason: str) -> None:
    assert result(400, error_reply(reason).body, proven=False).outcome is Outcome.CONFIGURATION
    assert result(400, error_reply(reason).body, proven=True).outcome is Outcome.INVALID_RECIPIENT


def test_a_device_that_is_gone_is_gone_since_the_time_that_apns_gives() -> None:
    answer = result(410, error_reply("Unregistered", timestamp=1_700_000_000_500).body)
    assert (answer.outcome, answer.dead_since) == (Outcome.INVALID_RECIPIENT, 1_700_000_000.5)
    assert result(410, error_reply("ExpiredToken").body).dead_since is None


def test_an_acceptance_carries_the_id() -> None:
    accepted = classify(ApnsAnswer(200, {b"apns-id": b"some-id"}, b""), place_proven=False, now=NOW)
    assert (accepted.outcome, accepted.message_id) == (Outcome.ACCEPTED, "some-id")


def test_retry_after_is_passed_on() -> None:
    assert result(429, error_reply("TooManyRequests").body, retry_after="12").retry_after == 12.0
