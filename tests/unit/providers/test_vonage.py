import json
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from pipeline.config import VonageSettings
from pipeline.errors import ConfigurationError
from pipeline.providers import vonage_messages, vonage_sms
from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.vonage import Vonage
from pipeline.providers.vonage_token import LIFETIME, LOOK_EVERY, USED_FOR, ApplicationToken
from pipeline.testing.texts import sample_sms
from pipeline.testing.vonage import VonageSimulator, messages_error, sms_reply

BODIES = [b"", b"<html>", b"[]", b'{"messages": null}', b'{"messages": []}', b'{"messages": [{}]}']


@pytest.mark.parametrize("status", vonage_sms.STATUSES)
def test_every_status_of_a_part_has_its_outcome(status: str) -> None:
    result = vonage_sms.classify(Answer(200, sms_reply(status).body))
    row = vonage_sms.STATUSES[status]
    assert (result.outcome, result.scope, result.error) == (row.outcome, row.scope, status)


@pytest.mark.parametrize("status", vonage_sms.HTTP_STATUSES)
@pytest.mark.parametrize("body", [*BODIES, sms_reply("0").body])
def test_of_an_answer_other_than_200_the_http_status_decides(status: int, body: bytes) -> None:
    row = vonage_sms.HTTP_STATUSES[status]
    result = vonage_sms.classify(Answer(status, body, 3.0))
    assert (result.outcome, result.scope, result.retry_after) == (row.outcome, row.scope, 3.0)


def test_a_status_that_no_page_lists_is_a_refusal() -> None:
    assert vonage_sms.classify(Answer(200, sms_reply("99").body)).outcome is Outcome.PERMANENT


@pytest.mark.parametrize("body", BODIES)
def test_a_200_without_statuses_is_in_doubt(body: bytes) -> None:
    result = vonage_sms.classify(Answer(200, body))
    assert (result.outcome, result.error) == (Outcome.AMBIGUOUS, "unreadable_answer")


def test_all_parts_must_be_taken() -> None:
    accepted = vonage_sms.classify(Answer(200, sms_reply("0", "0").body))
    assert (accepted.outcome, bool(accepted.message_id)) == (Outcome.ACCEPTED, True)
    assert vonage_sms.classify(Answer(200, sms_reply("1", "1").body)).outcome is Outcome.THROTTLED


def test_a_fragment_that_arrived_is_in_doubt_and_not_sent_again_as_if_nothing_had() -> None:
    for statuses in (("0", "1"), ("1", "0")):
        result = vonage_sms.classify(Answer(200, sms_reply(*statuses).body))
        assert (result.outcome, result.error) == (Outcome.AMBIGUOUS, "some_parts_1")


@pytest.mark.parametrize("code", vonage_messages.ERROR_CODES)
@pytest.mark.parametrize("status", [402, 422, 500])
def test_every_error_of_the_messages_api_has_its_outcome(code: str, status: int) -> None:
    result = vonage_messages.classify(Answer(status, messages_error(status, code).body))
    row = vonage_messages.ERROR_CODES[code]
    assert (result.outcome, result.scope, result.error) == (row.outcome, row.scope, code)


@pytest.mark.parametrize("status", vonage_messages.HTTP_STATUSES)
@pytest.mark.parametrize("body", [*BODIES, b'{"type": "about:blank"}', b'{"type": "https://x/#9999"}'])
def test_without_a_known_error_the_status_decides(status: int, body: bytes) -> None:
    result = vonage_messages.classify(Answer(status, body, 2.0))
    row = vonage_messages.HTTP_STATUSES[status]
    assert (result.outcome, result.scope, result.error) == (row.outcome, row.scope, str(status))
    assert result.retry_after == 2.0


def test_a_success_that_is_not_from_vonage_is_in_doubt() -> None:
    assert vonage_messages.classify(Answer(200, b"<html>")).outcome is Outcome.AMBIGUOUS


def test_numbers_travel_without_a_plus_and_names_as_they_are() -> None:
    for sender, expected in (("+15005550007", "15005550007"), ("Shop", "Shop")):
        form = parse_qs(vonage_sms.send_form(sample_sms(sender=sender), "key", "secret").decode())
        assert (form["from"], form["to"]) == ([expected], ["15005550006"])
        body = json.loads(vonage_messages.send_body(sample_sms(sender=sender)))
        assert (body["from"], body["to"]) == (expected, "15005550006")


@pytest.mark.parametrize(
    ("text", "kind"), [("Café", "text"), ("[€]", "text"), ("Zoë", "unicode"), ("ok 👍", "unicode")]
)
def test_what_gsm_cannot_say_is_marked_as_unicode(text: str, kind: str) -> None:
    form = parse_qs(vonage_sms.send_form(sample_sms(text=text), "key", "secret").decode())
    assert (form["text"], form["type"]) == ([text], [kind])
    body = json.loads(vonage_messages.send_body(sample_sms(text=text)))
    assert (body["text"], body["sms"]) == (text, {"encoding_type": kind})


def test_a_callback_that_vonage_has_no_room_for_leaves_the_reference_to_say_whose_a_receipt_is() -> None:
    for host, fits in (("https://a.example.com", True), ("https://notifications.a-long-name.example.com", False)):
        message = sample_sms("0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c", provider="vonage", public_url=host)
        form = parse_qs(vonage_sms.send_form(message, "key", "secret").decode())
        assert ("callback" in form) is fits
        assert form["client-ref"] == ["0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"from_number": "Shop"}, r"providers\.vonage\.api_key, providers\.vonage\.api_secret"),
        ({"from_number": "Shop", "api": "messages"}, r"vonage\.application_id, providers\.vonage\.private_key"),
        ({"api_key": "k", "api_secret": SecretStr("s")}, r"vonage\.from_number or providers\.vonage\.senders"),
        ({"from_number": "a name too long"}, r"vonage\.from_number: 'a name too long' is no sender"),
        ({"senders": {"DE": "++"}}, r"vonage\.senders\.DE: '\+\+' is no sender"),
        (
            {"from_number": "Shop", "api": "messages", "application_id": "a", "private_key": Path("/none")},
            r"/none is no private key in PEM \(FileNotFoundError\)",
        ),
    ],
)
def test_an_incomplete_account_stops_the_start_and_names_what_to_set(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Vonage(VonageSettings.model_validate(settings), timeout=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    VonageSimulator().write_private_key(path)
    return path


def test_a_token_is_used_until_it_ages_and_says_whose_it_is(key: Path) -> None:
    clock = Clock()
    token = ApplicationToken(key, "app-1", clock=clock)
    first = token.header()
    claims = jwt.decode(first.removeprefix("Bearer "), options={"verify_signature": False})
    assert (claims["application_id"], claims["exp"] - claims["iat"]) == ("app-1", LIFETIME)
    clock.now += USED_FOR - 1
    assert token.header() == first
    clock.now += 1
    assert token.header() != first


def test_an_exchanged_key_is_used_and_one_half_written_is_not(key: Path) -> None:
    clock = Clock()
    token = ApplicationToken(key, "app-1", clock=clock)
    old = token.header()
    key.write_text("-----BEGIN")
    clock.now += LOOK_EVERY
    assert token.header() == old
    simulator = VonageSimulator()
    simulator.write_private_key(key)
    clock.now += LOOK_EVERY
    fresh = token.header().removeprefix("Bearer ")
    public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
    options = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(fresh, public, algorithms=["RS256"], options=options)["application_id"] == "app-1"  # type: ignore[arg-type]


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    with pytest.raises(ConfigurationError, match="is no RSA key"):
        ApplicationToken(path, "app-1")
