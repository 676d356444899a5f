"""What providers tell of a message later on."""

from pydantic import Field, SecretStr

from pipeline.config.base import Seconds, Section

WEBHOOK_KEYS = {
    "twilio": "auth_token",
    "vonage": "signature_secret",
    "sendgrid": "webhook_public_key",
    "mailgun": "webhook_signing_key",
    "ses": "topics",
}
"""Which setting of a provider says how it signs its webhooks; nothing is taken of one that has none."""


class ReceiptSettings(Section):
    """Receipts of providers, at ``/v1/webhooks/{provider}``."""

    secret: SecretStr = Field(
        SecretStr(""),
        description="Seals what a request to a provider says of its notification, the same for workers and gateways; "
        "empty: `email.unsubscribe_secret`. With neither, whoever knows this program can read and forge it.",
    )
    previous_secret: SecretStr = Field(
        SecretStr(""), description="The secret before this one, while messages that it sealed may still be reported."
    )
    max_age: Seconds = Field(
        300, gt=0, description="How old or how far ahead a signed timestamp may be; SNS, which repeats: an hour."
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Longest body of a webhook; longer ones get 413.")
    retention: Seconds = Field(
        259_200, gt=0, description="How long a repeated receipt is recognised, and one for an SMS awaited."
    )
