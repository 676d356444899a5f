import json

import pytest

from pipeline.providers.base import Outcome
from pipeline.providers.fcm import ERROR_CODES, STATUSES, classify
from pipeline.providers.http import Answer
from pipeline.testing.fcm import error_reply


def outcome(status: int, name: str = "", code: str = "", field: str = "", *, proven: bool = True) -> Outcome:
    reply = error_reply(status, name, code, field=field)
    return classify(Answer(status, reply.body), project_proven=proven).outcome


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_error_code_has_its_outcome_whatever_the_status(code: str) -> None:
    for status in (400, 404, 500):
        assert outcome(status, code=code) is ERROR_CODES[code].outcome


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": {"status": "X"}}', b'{"error": null}', b"[1]", b'"x"'])
def test_without_a_code_the_status_decides_whatever_the_body_is(status: int, body: bytes) -> None:
    assert classify(Answer(status, body), project_proven=True).outcome is STATUSES[status].outcome


@pytest.mark.parametrize(("status", "expected"), [(418, Outcome.PERMANENT), (599, Outcome.TRANSIENT)])
def test_an_unknown_status_follows_its_class(status: int, expected: Outcome) -> None:
    assert outcome(status) is expected


def test_a_bad_token_is_pruned_and_a_bad_payload_is_not() -> None:
    assert outcome(400, code="INVALID_ARGUMENT", field="message.token") is Outcome.INVALID_RECIPIENT
    assert outcome(400, code="INVALID_ARGUMENT", field="message.data") is Outcome.PERMANENT
    assert outcome(400, code="INVALID_ARGUMENT", field="message") is Outcome.PERMANENT
    assert outcome(400, "INVALID_ARGUMENT") is Outcome.PERMANENT


def test_a_bare_404_prunes_nobody() -> None:
    assert outcome(404, "NOT_FOUND") is Outcome.CONFIGURATION


def test_the_wrong_project_does_not_empty_the_device_registry() -> None:
    assert outcome(403, code="SENDER_ID_MISMATCH", proven=False) is Outcome.CONFIGURATION
    assert outcome(403, code="SENDER_ID_MISMATCH", proven=True) is Outcome.INVALID_RECIPIENT


def test_a_success_that_is_not_from_fcm_is_in_doubt() -> None:
    assert classify(Answer(200, b"<html>"), project_proven=True).outcome is Outcome.AMBIGUOUS
    accepted = classify(Answer(200, json.dumps({"name": "projects/p/messages/42"}).encode()), project_proven=True)
    assert (accepted.outcome, accepted.message_id) == (Outcome.ACCEPTED, "42")


def test_retry_after_is_passed_on_with_every_refusal() -> None:
    assert classify(Answer(503, b"", retry_after=7.0), project_proven=True).retry_after == 7.0
