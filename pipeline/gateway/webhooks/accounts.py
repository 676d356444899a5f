"""Which providers' webhooks are taken: those for which the settings say how they sign."""

from collections.abc import Sequence
from typing import cast

import aiohttp
from pydantic import SecretStr

from pipeline.config import AccountSettings, Settings
from pipeline.gateway.webhooks.base import Webhook
from pipeline.gateway.webhooks.mailgun import MailgunWebhook
from pipeline.gateway.webhooks.sendgrid import SendGridWebhook
from pipeline.gateway.webhooks.ses import SesWebhook
from pipeline.gateway.webhooks.sns import SnsEndpoint
from pipeline.gateway.webhooks.twilio import TwilioWebhook
from pipeline.gateway.webhooks.vonage import Method, Secret, VonageWebhook
from pipeline.providers import mailgun, sendgrid, ses_table, twilio, vonage_request

NEEDS = {
    twilio.NAME: "providers.twilio.auth_token",
    sendgrid.NAME: "providers.sendgrid.webhook_public_key",
    mailgun.NAME: "providers.mailgun.webhook_signing_key",
    vonage_request.NAME: "providers.vonage.signature_secret",
    ses_table.NAME: "providers.ses.topics",
}
"""What each has to know before it takes anything."""


def open_webhooks(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Webhook]:
    """By provider. `session` asks SNS for its certificates.

    Raises:
        ConfigurationError: a key cannot be read.
    """
    max_age, webhooks = settings.receipts.max_age, list[Webhook]()
    if tokens := _values(settings, twilio.NAME, "auth_token"):
        webhooks.append(TwilioWebhook(tokens))
    if keys := _values(settings, sendgrid.NAME, "webhook_public_key"):
        webhooks.append(SendGridWebhook(keys, max_age))
    if keys := _values(settings, mailgun.NAME, "webhook_signing_key"):
        webhooks.append(MailgunWebhook(keys, max_age))
    if secrets := _values(settings, vonage_request.NAME, "signature_secret"):
        methods = cast("list[Method]", _values(settings, vonage_request.NAME, "signature_method"))
        webhooks.append(VonageWebhook([Secret(s, method) for s in secrets for method in methods], max_age))
    if lists := _values(settings, ses_table.NAME, "topics"):
        topics = frozenset(topic.strip() for given in lists for topic in given.split(",") if topic.strip())
        webhooks.append(SesWebhook(topics, SnsEndpoint(session, settings.providers.ses.sns_base_url), max_age))
    return {webhook.name: webhook for webhook in webhooks}


def _values(settings: Settings, provider: str, field: str) -> list[str]:
    """What the provider's section and all accounts there have for `field`: any of them may have signed."""
    found = [getattr(getattr(settings.providers, provider), field)]
    found += [account.settings.get(field, "") for account in _accounts(settings) if account.provider_name == provider]
    plain = [one.get_secret_value() if isinstance(one, SecretStr) else str(one or "") for one in found]
    return list(dict.fromkeys(filter(None, plain)))


def _accounts(settings: Settings) -> Sequence[AccountSettings]:
    return (*settings.email.providers, *settings.sms.providers)
