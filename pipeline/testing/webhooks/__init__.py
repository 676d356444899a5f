"""Webhooks as the providers send and sign them, written from their documents alone: what a receiver is tested with."""

from pipeline.testing.webhooks.mailgun import MailgunSigner
from pipeline.testing.webhooks.sender import ReceiptSender
from pipeline.testing.webhooks.sendgrid import SendGridSigner
from pipeline.testing.webhooks.signed import Signed, Signer
from pipeline.testing.webhooks.sns import SnsSigner
from pipeline.testing.webhooks.twilio import TwilioSigner
from pipeline.testing.webhooks.vonage import VonageSigner

__all__ = [
    "MailgunSigner",
    "ReceiptSender",
    "SendGridSigner",
    "Signed",
    "Signer",
    "SnsSigner",
    "TwilioSigner",
    "VonageSigner",
]
