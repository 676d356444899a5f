import pytest

from pipeline.config import TwilioSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.twilio import ERROR_CODES, STATUSES, Twilio, classify
from pipeline.testing.twilio import error_reply


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_error_code_has_its_outcome(code: int) -> None:
    result = classify(Answer(400, error_reply(400, code).body))
    assert (result.outcome, result.error) == (ERROR_CODES[code].outcome, str(code))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code": 99999}', b'{"code": null}', b"[]"])
def test_without_a_known_code_the_status_decides(status: int, body: bytes) -> None:
    assert classify(Answer(status, body)).outcome is STATUSES[status].outcome


def test_a_success_that_is_not_from_twilio_is_in_doubt() -> None:
    assert classify(Answer(201, b"<html>")).outcome is Outcome.AMBIGUOUS
    accepted = classify(Answer(201, b'{"sid": "SM1", "error_code": null}'))
    assert (accepted.outcome, accepted.message_id) == (Outcome.ACCEPTED, "SM1")


def test_an_incomplete_account_stops_the_start_and_names_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.twilio\.auth_token, providers\.twilio\.from_number"):
        Twilio(TwilioSettings(account_sid="AC1"), timeout=1)
