from urllib.parse import parse_qs

import pytest

from pipeline.config import SnsSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.sns import Sns, send_form
from pipeline.providers.sns_table import ERROR_CODES, STATUSES, classify
from pipeline.testing.sns import error_reply
from pipeline.testing.texts import sample_sms

NOT_SENT_TO = "Invalid parameter: PhoneNumber Reason: +15005550006 is not valid to publish to"
ACCEPTED = (
    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    b"<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult></PublishResponse>"
)


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("proven", [False, True])
def test_every_error_code_has_its_outcome(code: str, proven: bool) -> None:
    result = classify(Answer(400, error_reply(400, code).body, 2.0), proven=proven)
    row = ERROR_CODES[code]
    assert (result.outcome, result.scope, result.error) == (row.outcome, row.scope, code)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b"<html></html>", b"{}", error_reply(400, "Unheard").body])
def test_without_a_known_code_the_status_decides(status: int, body: bytes) -> None:
    result = classify(Answer(status, body), proven=True)
    assert (result.outcome, result.error) == (STATUSES[status].outcome, str(status))


def test_a_number_is_condemned_only_by_an_account_that_can_send() -> None:
    answer = Answer(400, error_reply(400, "InvalidParameter", NOT_SENT_TO).body)
    assert classify(answer, proven=True).outcome is Outcome.INVALID_RECIPIENT
    assert classify(answer, proven=False).outcome is Outcome.CONFIGURATION
    assert "5005" not in classify(answer, proven=True).error


def test_a_success_that_is_not_from_sns_is_in_doubt() -> None:
    assert classify(Answer(200, b"<html></html>"), proven=True).outcome is Outcome.AMBIGUOUS
    accepted = classify(Answer(200, ACCEPTED), proven=False)
    assert (accepted.outcome, accepted.message_id) == (Outcome.ACCEPTED, "567910cd-659e-55d4-8ccb-5aaf14679dc0")


def attributes(form: bytes) -> dict[str, tuple[str, str]]:
    fields = {name: value for name, (value,) in parse_qs(form.decode(), strict_parsing=True).items()}
    count = sum(name.endswith(".Name") for name in fields)
    entries = (f"MessageAttributes.entry.{n}" for n in range(1, count + 1))
    return {fields[f"{e}.Name"]: (fields[f"{e}.Value.DataType"], fields[f"{e}.Value.StringValue"]) for e in entries}


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("", {}),
        ("Shop", {"AWS.SNS.SMS.SenderID": ("String", "Shop")}),
        ("+15005550007", {"AWS.MM.SMS.OriginationNumber": ("String", "+15005550007")}),
        ("12345", {"AWS.MM.SMS.OriginationNumber": ("String", "12345")}),
    ],
)
def test_a_sender_is_named_as_what_it_is(sender: str, expected: dict[str, tuple[str, str]]) -> None:
    found = attributes(send_form(sample_sms(sender=sender)))
    assert found.pop("notification_id") == ("String", "n1")
    assert found.pop("AWS.SNS.SMS.SMSType") == ("String", "Transactional")
    assert found == expected


def test_marketing_is_promotional_and_a_price_limit_is_passed_on() -> None:
    found = attributes(send_form(sample_sms(sender="", stream="marketing"), 0.5))
    assert found["AWS.SNS.SMS.SMSType"] == ("String", "Promotional")
    assert found["AWS.SNS.SMS.MaxPrice"] == ("Number", "0.50000")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (SnsSettings(), "region"),
        (SnsSettings(region="eu-west-1", access_key_id="AKIA"), "secret_access_key"),
        (SnsSettings(region="eu-west-1", senders={"DE": "no_such!name"}), r"senders\.DE"),
    ],
)
def test_an_incomplete_account_stops_the_start_and_names_what_to_set(settings: SnsSettings, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"providers.sns.*{told}"):
        Sns(settings, timeout=1)
