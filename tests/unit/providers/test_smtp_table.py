import pytest

from pipeline.config import SmtpSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome
from pipeline.providers.smtp import Relay, Smtp, parse_relay
from pipeline.providers.smtp_table import BASIC, ENHANCED, classify


@pytest.mark.parametrize("code", ENHANCED)
def test_an_enhanced_code_decides(code: str) -> None:
    assert classify(550, f"{code} Some text").outcome is ENHANCED[code].outcome


@pytest.mark.parametrize("code", BASIC)
def test_without_an_enhanced_code_the_basic_one_decides(code: int) -> None:
    assert classify(code, "Some text").outcome is BASIC[code].outcome


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "User unknown", Outcome.PERMANENT),
        (552, "5.1.1 over quota, says a confused relay", Outcome.PERMANENT),
        (450, "4.1.1 unverified address", Outcome.TRANSIENT),
        (451, "4.7.1 Greylisted", Outcome.THROTTLED),
        (452, "4.2.2 Mailbox full", Outcome.TRANSIENT),
        (550, "5.7.1 Relaying denied", Outcome.PERMANENT),
        (554, "5.7.1 Spam", Outcome.PERMANENT),
        (421, "4.3.2 Shutting down", Outcome.THROTTLED),
        (535, "5.7.8 Authentication failed", Outcome.CONFIGURATION),
        (553, "5.1.8 Bad sender", Outcome.CONFIGURATION),
        (550, "15.1.1 no code at all", Outcome.PERMANENT),
    ],
)
def test_refusals_as_relays_word_them(code: int, text: str, expected: Outcome) -> None:
    assert classify(code, text).outcome is expected


def test_the_relay_text_is_not_repeated_as_it_may_quote_the_address() -> None:
    assert classify(550, "5.1.1 <ada@example.com>: no such user").error == "5.1.1"
    assert classify(550, "<ada@example.com>: no such user").error == "550"


def test_a_relay_is_named_by_url() -> None:
    assert parse_relay("smtp://mail.example.com") == Relay("mail.example.com", 25, False)
    assert parse_relay("smtps://mail.example.com") == Relay("mail.example.com", 465, True)
    assert parse_relay("smtp://[::1]:2525") == Relay("::1", 2525, False)


@pytest.mark.parametrize("url", ["", "localhost:25", "http://localhost", "smtp://", "smtp://host:port"])
def test_a_wrong_relay_stops_the_start_and_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match="smtp://host:port"):
        Smtp(SmtpSettings(base_url=url), timeout=1)
