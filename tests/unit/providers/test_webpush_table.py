import pytest

from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.webpush_table import ACCEPTED, STATUSES, classify


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"errno": 106}'])
def test_every_status_has_its_outcome_whatever_the_body_is(status: int, body: bytes) -> None:
    assert classify(Answer(status, body)).outcome is STATUSES[status].outcome


@pytest.mark.parametrize("status", sorted(ACCEPTED))
def test_an_acceptance_carries_the_id_from_its_location(status: int) -> None:
    accepted = classify(Answer(status, b"", headers={"Location": "https://push.example.com/m/abc"}))
    assert (accepted.outcome, accepted.message_id) == (Outcome.ACCEPTED, "abc")
    assert classify(Answer(status, b"")).message_id == ""


@pytest.mark.parametrize(
    ("status", "expected"), [(418, Outcome.PERMANENT), (599, Outcome.TRANSIENT), (307, Outcome.CONFIGURATION)]
)
def test_an_unknown_status_follows_its_class(status: int, expected: Outcome) -> None:
    assert classify(Answer(status, b"")).outcome is expected


def test_the_services_wait_is_passed_on() -> None:
    assert classify(Answer(429, b"", retry_after=30.0)).retry_after == 30.0
