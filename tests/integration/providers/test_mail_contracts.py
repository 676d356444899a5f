"""What the senders of e-mail ask, held against what the providers published: contracts, moto's SES, Prism."""

import json
from collections.abc import AsyncIterator
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

from pipeline.config import MailgunSettings, SendGridSettings, SesSettings
from pipeline.providers import mailgun, sendgrid, ses
from pipeline.providers.base import Outcome
from pipeline.providers.mail import MailMessage
from pipeline.providers.mailgun import Mailgun
from pipeline.providers.sendgrid import SendGrid
from pipeline.providers.ses import Ses
from pipeline.testing.mails import sample_mail
from tests.integration.providers.servers import moto_server

MAILS = {
    "transactional": sample_mail(),
    "marketing": sample_mail(sender="News <news@news.example.com>", stream="marketing"),
    "without text": sample_mail(text=""),
    "without a name": sample_mail(sender="shop@mail.example.com"),
    "beyond ASCII": sample_mail(subject="李雷 & Zoë", text="Grüße\r\n.", html="<p>李雷</p>"),
}

mails = pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)


def document(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)


def strict(schema: Any) -> Any:
    """The schema, refusing every property that it does not list."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(part) for name, part in schema.items() if name not in {"example", "examples"}}
    if isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def test_the_strict_schema_refuses_what_the_contract_does_not_list() -> None:
    schema = strict({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}})
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"a": {"b": 1}})
    assert not validator.is_valid({"a": {"c": 1}})


@mails
@pytest.mark.parametrize("tracking", [False, True])
def test_a_sendgrid_request_is_what_the_contract_says(contracts: Path, mail: MailMessage, tracking: bool) -> None:
    published = document(contracts / "tsg_mail_v3.yaml")
    body = published["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    schema = {**strict(body), "components": strict(published["components"])}
    validator = jsonschema_rs.validator_for(schema)
    request = json.loads(sendgrid.send_body(mail, ip_pool="news", tracking=tracking))
    validator.validate(request)
    assert not validator.is_valid({**request, "personalization": []})


@mails
def test_a_mailgun_request_is_what_the_contract_says(contracts: Path, mail: MailMessage) -> None:
    published = document(contracts / "mailgun.messages.patched.yaml")
    operation = published["paths"]["/v3/{domain_name}/messages"]["post"]
    body = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    validator = jsonschema_rs.validator_for({**body, "components": published["components"]})
    pairs = parse_qs(mailgun.send_form(mail, "pool-1").decode(), strict_parsing=True)
    form = {name: values[0] if len(values) == 1 else values for name, values in pairs.items()}
    validator.validate(form)
    listed = set(published["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"])
    assert {name for name in form if name[:2] not in {"h:", "v:"}} <= listed


@mails
def test_an_ses_request_is_what_the_service_model_says(mail: MailMessage) -> None:
    shape = ServiceModel(Loader().load_service_model("sesv2", "service-2")).operation_model("SendEmail").input_shape
    request = json.loads(ses.send_body(mail, "transactional"))
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert ParamValidator().validate({**request, "Subject": "x"}, shape).has_errors()


@pytest.fixture
async def moto(tmp_path: Path) -> AsyncIterator[str]:
    """moto's server, on which mail.example.com is a verified identity; its address."""
    async with moto_server(tmp_path / "moto.log") as url:
        client = Ses(ses_settings(url), timeout=30)
        await client.start()
        body = b'{"EmailIdentity": "mail.example.com"}'
        answer = await client._request("POST", "/v2/email/identities", body)
        assert getattr(answer, "status", None) == 200
        await client.close()
        yield url


def ses_settings(url: str) -> SesSettings:
    return SesSettings(
        base_url=url, region="eu-west-1", access_key_id="AKIAEXAMPLE", secret_access_key=SecretStr("secret")
    )


async def test_moto_takes_our_mail_and_refuses_a_sender_that_is_not_verified(moto: str) -> None:
    client = Ses(ses_settings(moto), timeout=30)
    await client.start()
    for mail in MAILS.values():
        verified = mail.sender.endswith("@mail.example.com")
        result = await client.send(mail)
        assert (result.outcome is Outcome.ACCEPTED, bool(result.message_id)) == (verified, verified)
        assert result.error == ("" if verified else "MessageRejected")  # in other words than those of Amazon
    await client.close()
    async with aiohttp.ClientSession() as session, session.get(f"{moto}/moto-api/data.json") as response:
        sent = (await response.json(content_type=None))["ses"]["RawMessage"]
    assert len(sent) == sum(mail.sender.endswith("@mail.example.com") for mail in MAILS.values())


@pytest.mark.parametrize("prism", ["tsg_mail_v3.yaml"], indirect=True)
async def test_prism_takes_our_sendgrid_requests(prism: str) -> None:
    settings = SendGridSettings(base_url=prism, api_key=SecretStr("SG.key"), ip_pools={"marketing": "news"})
    client = SendGrid(settings, timeout=30)
    await client.start()
    for mail in MAILS.values():
        assert (await client.send(mail)).outcome is Outcome.ACCEPTED
    assert (await client.send(sample_mail()._replace(subject=""))).outcome is (Outcome.PERMANENT)
    await client.close()


@pytest.mark.parametrize("prism", ["mailgun.messages.patched.yaml"], indirect=True)
async def test_prism_takes_our_mailgun_requests(prism: str) -> None:
    settings = MailgunSettings(base_url=prism, api_key=SecretStr("key"), domains={"marketing": "news.example.com"})
    client = Mailgun(settings, timeout=30)
    await client.start()
    for mail in MAILS.values():
        assert (await client.send(mail)).outcome is Outcome.ACCEPTED
    assert (await client.check()).outcome is Outcome.ACCEPTED, "a message without a recipient is refused with 400"
    await client.close()
