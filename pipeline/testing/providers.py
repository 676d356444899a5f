"""All simulators together, and the settings that point a pipeline at them."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.events.vocabulary import Channel
from pipeline.testing.apns import KEY_ID, TEAM_ID, TOPIC, ApnsSimulator
from pipeline.testing.behaviour import Behaviour, Script
from pipeline.testing.fcm import PROJECT, FcmSimulator
from pipeline.testing.http_simulator import HttpSimulator
from pipeline.testing.mailgun import MailgunSimulator
from pipeline.testing.received import Received
from pipeline.testing.sendgrid import SendGridSimulator
from pipeline.testing.ses import REGION, SesSimulator
from pipeline.testing.smtp import KEPT_MAILS, SmtpSimulator
from pipeline.testing.sns import SnsSimulator
from pipeline.testing.twilio import TwilioSimulator
from pipeline.testing.vonage import VonageSimulator
from pipeline.testing.webhooks import (
    MailgunSigner,
    ReceiptSender,
    SendGridSigner,
    Signer,
    SnsSigner,
    TwilioSigner,
    VonageSigner,
)
from pipeline.testing.webhooks.sns import TOPIC as SES_TOPIC
from pipeline.testing.webpush import WebPushSimulator
from pipeline.users.synthetic import WEB_PUSH_HOST

DOMAINS = {"transactional": "mail.example.com", "marketing": "news.example.com"}
"""The domains of the senders that `pipeline.config.EmailSettings` names by default."""


class Providers:
    """FCM, APNs, a web push service, a mail relay, Amazon SES, SendGrid, Mailgun, Twilio, Vonage and Amazon SNS.

    Each on a free local port.

    Use as an async context manager. The three that push share one account of what they received.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        *,
        keep_mails: int = KEPT_MAILS,
        receipts_to: str = "",
    ) -> None:
        """`receipts_to`: the gateway that is told what became of messages; empty: nobody is."""
        self.fcm = FcmSimulator(Script(behaviour, seed))
        self.mail = Received()
        """What all mail providers received together."""
        self.smtp = SmtpSimulator(Script(behaviour, seed + 1), keep=keep_mails, also=self.mail)
        self.sms = Received()
        """What all SMS providers received together."""
        self.twilio = TwilioSimulator(Script(behaviour, seed + 2), also=self.sms)
        self.vonage = VonageSimulator(Script(behaviour, seed + 8), also=self.sms)
        self.sns = SnsSimulator(Script(behaviour, seed + 9), also=self.sms)
        self.apns = ApnsSimulator(Script(behaviour, seed + 6), received=self.fcm.received)
        self.webpush = WebPushSimulator(Script(behaviour, seed + 7), received=self.fcm.received)
        self.ses = SesSimulator(Script(behaviour, seed + 3), also=self.mail)
        self.sendgrid = SendGridSimulator(Script(behaviour, seed + 4), also=self.mail)
        self.mailgun = MailgunSimulator(Script(behaviour, seed + 5), also=self.mail)
        self.receipts = ReceiptSender(receipts_to)
        """Tells of what the simulators have accepted, by signed webhooks: ``receipts.url`` may be set at any time."""
        self.twilio_webhooks = TwilioSigner(self.twilio.account_sid, self.twilio.auth_token)
        self.sendgrid_webhooks, self.mailgun_webhooks = SendGridSigner(), MailgunSigner()
        self.ses_webhooks, self.vonage_webhooks = SnsSigner(), VonageSigner()
        self._folder = Path()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="simulated-providers-"))
        push = (self.fcm, self.apns, self.webpush)
        mail, sms = (self.smtp, self.ses, self.sendgrid, self.mailgun), (self.twilio, self.vonage, self.sns)
        for simulator in (*push, *mail, *sms):
            await self._stack.enter_async_context(simulator)
        await self._stack.enter_async_context(self.receipts)
        self._tell_receipts()
        self._folder = Path(folder)
        self.fcm.write_service_account(self._service_account)
        self.apns.tokens.write_key(self._signing_key)
        self.vonage.write_private_key(self._vonage_key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _tell_receipts(self) -> None:
        self.ses_webhooks.base_url = self.ses.base_url
        self.ses.sns_certificate = self.ses_webhooks.certificate
        told: Sequence[tuple[HttpSimulator, Signer]] = (
            (self.twilio, self.twilio_webhooks),
            (self.vonage, self.vonage_webhooks),
            (self.sendgrid, self.sendgrid_webhooks),
            (self.mailgun, self.mailgun_webhooks),
            (self.ses, self.ses_webhooks),
        )
        for simulator, signer in told:
            simulator.on_receipt = self.receipts.by(signer)

    def environment(self) -> dict[str, str]:
        """Environment variables that point ``pipeline`` at the simulators."""
        return {
            "PIPELINE_PROVIDERS__FCM__BASE_URL": self.fcm.base_url,
            "PIPELINE_PROVIDERS__FCM__PROJECT_ID": PROJECT,
            "PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT": str(self._service_account),
            "PIPELINE_PROVIDERS__APNS__BASE_URL": self.apns.base_url,
            "PIPELINE_PROVIDERS__APNS__SANDBOX_BASE_URL": self.apns.base_url,
            "PIPELINE_PROVIDERS__APNS__CA_CERTIFICATES": str(self.apns.certificate),
            "PIPELINE_PROVIDERS__APNS__SIGNING_KEY": str(self._signing_key),
            "PIPELINE_PROVIDERS__APNS__KEY_ID": KEY_ID,
            "PIPELINE_PROVIDERS__APNS__TEAM_ID": TEAM_ID,
            "PIPELINE_PROVIDERS__APNS__TOPIC": TOPIC,
            "PIPELINE_PROVIDERS__WEBPUSH__BASE_URL": self.webpush.base_url,
            "PIPELINE_PROVIDERS__WEBPUSH__VAPID_KEY": self.webpush.vapid_key,
            "PIPELINE_PROVIDERS__WEBPUSH__SUBJECT": "mailto:simulator@example.com",
            "PIPELINE_PROVIDERS__WEBPUSH__ALLOWED_HOSTS": WEB_PUSH_HOST,
            "PIPELINE_PROVIDERS__SMTP__BASE_URL": self.smtp.base_url,
            "PIPELINE_PROVIDERS__SES__BASE_URL": self.ses.base_url,
            "PIPELINE_PROVIDERS__SES__REGION": REGION,
            "PIPELINE_PROVIDERS__SES__ACCESS_KEY_ID": self.ses.access_key_id,
            "PIPELINE_PROVIDERS__SES__SECRET_ACCESS_KEY": self.ses.secret_access_key,
            "PIPELINE_PROVIDERS__SENDGRID__BASE_URL": self.sendgrid.base_url,
            "PIPELINE_PROVIDERS__SENDGRID__API_KEY": self.sendgrid.api_key,
            "PIPELINE_PROVIDERS__MAILGUN__BASE_URL": self.mailgun.base_url,
            "PIPELINE_PROVIDERS__MAILGUN__API_KEY": self.mailgun.api_key,
            "PIPELINE_PROVIDERS__MAILGUN__DOMAINS": json.dumps(DOMAINS),
            "PIPELINE_PROVIDERS__SES__TOPICS": SES_TOPIC,
            "PIPELINE_PROVIDERS__SES__SNS_BASE_URL": self.ses.base_url,
            "PIPELINE_PROVIDERS__SENDGRID__WEBHOOK_PUBLIC_KEY": self.sendgrid_webhooks.public_key,
            "PIPELINE_PROVIDERS__MAILGUN__WEBHOOK_SIGNING_KEY": self.mailgun_webhooks.signing_key,
            "PIPELINE_PROVIDERS__TWILIO__BASE_URL": self.twilio.base_url,
            "PIPELINE_PROVIDERS__TWILIO__ACCOUNT_SID": self.twilio.account_sid,
            "PIPELINE_PROVIDERS__TWILIO__AUTH_TOKEN": self.twilio.auth_token,
            "PIPELINE_PROVIDERS__TWILIO__FROM_NUMBER": self.twilio.from_number,
            "PIPELINE_PROVIDERS__VONAGE__BASE_URL": self.vonage.base_url,
            "PIPELINE_PROVIDERS__VONAGE__API_KEY": self.vonage.api_key,
            "PIPELINE_PROVIDERS__VONAGE__API_SECRET": self.vonage.api_secret,
            "PIPELINE_PROVIDERS__VONAGE__APPLICATION_ID": self.vonage.application_id,
            "PIPELINE_PROVIDERS__VONAGE__PRIVATE_KEY": str(self._vonage_key),
            "PIPELINE_PROVIDERS__VONAGE__FROM_NUMBER": self.vonage.from_number,
            "PIPELINE_PROVIDERS__VONAGE__SIGNATURE_SECRET": self.vonage_webhooks.secret,
            "PIPELINE_PROVIDERS__SNS__BASE_URL": self.sns.base_url,
            "PIPELINE_PROVIDERS__SNS__REGION": REGION,
            "PIPELINE_PROVIDERS__SNS__ACCESS_KEY_ID": self.sns.access_key_id,
            "PIPELINE_PROVIDERS__SNS__SECRET_ACCESS_KEY": self.sns.secret_access_key,
        }

    def received(self) -> dict[str, Counter[str]]:
        """For each channel, how often each notification was accepted (over all devices of its user)."""
        return {channel: records.by_notification() for channel, records in self.records().items()}

    def records(self) -> dict[str, Received]:
        """What each channel's simulators received."""
        return {
            Channel.PUSH: self.fcm.received,
            Channel.EMAIL: self.mail,
            Channel.SMS: self.sms,
        }

    def behave(self, channel: Channel, behaviour: Behaviour) -> None:
        """Change how one channel's simulators behave from now on.

        Raises:
            KeyError: the channel has no provider.
        """
        for simulator in self._serving[channel]:
            simulator.script.behaviour = behaviour

    @property
    def _serving(self) -> dict[Channel, Sequence[ApnsSimulator | SmtpSimulator | HttpSimulator]]:
        return {
            Channel.PUSH: [self.fcm, self.apns, self.webpush],
            Channel.EMAIL: [self.smtp, self.ses, self.sendgrid, self.mailgun],
            Channel.SMS: [self.twilio, self.vonage, self.sns],
        }

    @property
    def _signing_key(self) -> Path:
        return self._folder / "apns-key.p8"

    @property
    def _vonage_key(self) -> Path:
        return self._folder / "vonage-key.pem"

    @property
    def _service_account(self) -> Path:
        return self._folder / "service-account.json"
