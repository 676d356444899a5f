"""What the senders of SMS ask, held against what the providers published: contracts, moto's SNS, Prism."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import jsonschema_rs
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from pydantic import SecretStr

from pipeline.config import SnsSettings, TwilioSettings, VonageSettings
from pipeline.providers import sns, vonage_messages, vonage_sms
from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.sms import SmsMessage
from pipeline.providers.sns import Sns
from pipeline.providers.twilio import Twilio
from pipeline.providers.vonage_sms import SmsApi
from pipeline.testing.texts import sample_sms
from tests.integration.providers.servers import moto_server, prism_server

ID = "0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c"
MESSAGES = {
    "GSM": sample_sms(ID, provider="vonage"),
    "beyond GSM": sample_sms(ID, provider="vonage", text="李雷 & Zoë 👍\n= 100%+"),
    "long": sample_sms(ID, provider="vonage", text="x" * 1530),
    "named sender": sample_sms(ID, provider="vonage", sender="Shop"),
    "long callback": sample_sms(ID, provider="vonage", public_url="https://notifications.a-long-name.example.com"),
    "marketing": sample_sms(ID, provider="vonage", stream="marketing"),
    "expires soon": sample_sms(ID, provider="vonage", ttl=1),
    "expires late": sample_sms(ID, provider="vonage", ttl=10_000_000),
}

messages = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)


def document(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)


def flat(form: bytes) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(form.decode(), strict_parsing=True).items()}


@messages
def test_a_form_of_vonages_sms_api_is_what_the_contract_says(contracts: Path, message: SmsMessage) -> None:
    published = document(contracts / "vonage_sms.yml")
    schema = {**published["components"]["schemas"]["NewMessage"], "additionalProperties": False}
    form: dict[str, object] = dict(flat(vonage_sms.send_form(message, "abcd1234", "abcdef0123456789")))
    form["status-report-req"] = form["status-report-req"] == "true"
    if "ttl" in form:
        form["ttl"] = int(str(form["ttl"]))
    validator = jsonschema_rs.validator_for(schema)
    validator.validate(form)
    assert not validator.is_valid({**form, "statusReportReq": True})
    model = json.loads((contracts / "vonage_sms_SmsMessage.schema.json").read_bytes())
    ours = {name.replace("-", "_"): value for name, value in form.items() if name not in {"api_key", "api_secret"}}
    strict = {**model, "additionalProperties": False}
    jsonschema_rs.validator_for(strict).validate({"from_" if k == "from" else k: v for k, v in ours.items()})


@messages
def test_a_message_of_vonages_messages_api_is_what_the_model_says(contracts: Path, message: SmsMessage) -> None:
    model = json.loads((contracts / "vonage_messages_Sms.schema.json").read_bytes())
    body = json.loads(vonage_messages.send_body(message))
    validator = jsonschema_rs.validator_for({**model, "additionalProperties": False})
    validator.validate({"from_" if name == "from" else name: value for name, value in body.items()})
    assert not validator.is_valid({**body, "from_": "x", "to": "+15005550006"})


@messages
def test_a_publish_is_what_the_service_model_says(message: SmsMessage) -> None:
    shape = ServiceModel(Loader().load_service_model("sns", "service-2")).operation_model("Publish").input_shape
    fields = flat(sns.send_form(message, 0.5))
    assert (fields.pop("Action"), fields.pop("Version")) == ("Publish", "2010-03-31")
    attributes: dict[str, dict[str, str]] = {}
    for name in [name for name in fields if name.endswith(".Name")]:
        entry = name.removesuffix(".Name")
        value = {kind: fields.pop(f"{entry}.Value.{kind}") for kind in ("DataType", "StringValue")}
        attributes[fields.pop(name)] = value
    request = {**fields, "MessageAttributes": attributes}
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert ParamValidator().validate({**request, "Number": "1"}, shape).has_errors()


@pytest.mark.parametrize(
    ("fixture", "outcome"),
    [
        ("send_sms", Outcome.ACCEPTED),
        ("send_sms_error", Outcome.INVALID_RECIPIENT),
        ("send_sms_partial_error", Outcome.AMBIGUOUS),
    ],
)
def test_captured_answers_of_the_sms_api_are_understood(contracts: Path, fixture: str, outcome: Outcome) -> None:
    body = (contracts / f"vonage_fixture_{fixture}.json").read_bytes()
    assert vonage_sms.classify(Answer(200, body)).outcome is outcome


@pytest.mark.parametrize(
    ("fixture", "status", "outcome"),
    [
        ("send_message", 202, Outcome.ACCEPTED),
        ("invalid_error", 422, Outcome.PERMANENT),
        ("low_balance_error", 402, Outcome.CONFIGURATION),
    ],
)
def test_captured_answers_of_the_messages_api_are_understood(
    contracts: Path, fixture: str, status: int, outcome: Outcome
) -> None:
    body = (contracts / f"vonage_fixture_{fixture}.json").read_bytes()
    assert vonage_messages.classify(Answer(status, body)).outcome is outcome


@pytest.fixture
async def moto(tmp_path: Path) -> AsyncIterator[str]:
    async with moto_server(tmp_path / "moto.log") as url:
        yield url


async def test_moto_takes_our_sms_and_refuses_what_is_no_number(moto: str) -> None:
    settings = SnsSettings(
        base_url=moto, region="eu-west-1", access_key_id="AKIAEXAMPLE", secret_access_key=SecretStr("secret")
    )
    client = Sns(settings, timeout=30)
    await client.start()
    for message in MESSAGES.values():
        result = await client.send(message)
        assert (result.outcome, bool(result.message_id)) == (Outcome.ACCEPTED, True)
    refused = await client.send(MESSAGES["GSM"]._replace(to="0170"))
    assert (refused.outcome, refused.error) == (Outcome.PERMANENT, "InvalidParameter")  # in other words than Amazon's
    assert (await client.check()).outcome is Outcome.ACCEPTED
    await client.close()
    async with aiohttp.ClientSession() as session, session.get(f"{moto}/moto-api/data.json") as response:
        sent = (await response.json(content_type=None))["sns"]["SMS"]
    assert len(sent) == len(MESSAGES)


def references(schema: Any) -> Iterator[str]:
    """Every component that a piece of OpenAPI names."""
    if isinstance(schema, dict):
        if isinstance(name := schema.get("$ref"), str):
            yield name.rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from references(part)


def only(published: Any, path: str) -> Any:
    """An OpenAPI document with one of its paths and what that needs: Prism reads the whole of Twilio's for ages."""
    schemas, needed, found = published["components"]["schemas"], list(references(published["paths"][path])), {}
    while needed:
        name = needed.pop()
        if name not in found:
            found[name] = schemas[name]
            needed += references(schemas[name])
    components = {**published["components"], "schemas": found}
    return {**published, "paths": {path: published["paths"][path]}, "components": components}


@pytest.fixture
async def twilio_prism(prism_command: str, twilio_contract: Any, tmp_path: Path) -> AsyncIterator[str]:
    contract = tmp_path / "twilio.json"
    contract.write_text(json.dumps(only(twilio_contract, "/2010-04-01/Accounts/{AccountSid}/Messages.json")))
    async with prism_server(prism_command, contract, tmp_path / "prism.log") as url:
        yield url


@pytest.fixture
async def vonage_prism(prism_command: str, contracts: Path, tmp_path: Path) -> AsyncIterator[str]:
    """The contract has no answer for what is wrong, so that Prism gives one of its own."""
    log = tmp_path / "prism.log"
    async with prism_server(prism_command, contracts / "vonage_sms.yml", log, errors=False) as url:
        yield url


async def test_prism_takes_our_twilio_requests(twilio_prism: str) -> None:
    settings = TwilioSettings(
        base_url=twilio_prism, account_sid="AC" + "0" * 32, auth_token=SecretStr("token"), from_number="+15005550006"
    )
    client = Twilio(settings, timeout=30)
    await client.start()
    for message in MESSAGES.values():
        result = await client.send(message)
        assert result.outcome is Outcome.ACCEPTED, result
    assert (await client.send(MESSAGES["GSM"]._replace(status_callback="no address"))).outcome is Outcome.PERMANENT
    await client.close()


async def test_prism_finds_nothing_wrong_with_our_vonage_requests(vonage_prism: str) -> None:
    settings = VonageSettings(base_url=vonage_prism, api_key="abcd1234", api_secret=SecretStr("abcdef0123456789"))
    api = SmsApi(settings)
    async with aiohttp.ClientSession() as session:
        for message in [*MESSAGES.values(), MESSAGES["GSM"]._replace(to="0")]:
            asked = api.send_request(message)
            # the contract's server ends in /sms, which Prism leaves out
            url = asked.url.replace("/sms/json", "/json")
            async with session.post(url, data=asked.body, headers=asked.headers) as response:
                text = await response.text()
                assert response.status == (422 if message.to == "0" else 200), text
                if response.status == 200:
                    assert api.classify(Answer(200, text.encode())).outcome is Outcome.ACCEPTED
