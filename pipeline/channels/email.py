"""E-mail: one part, through any mail provider."""

import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.catalogue.model import Stream
from pipeline.channels.addresses import email_address
from pipeline.channels.base import Part, Refused
from pipeline.channels.mail_headers import mail_headers
from pipeline.channels.mime import MailContent, Sender, build_mail, parse_sender
from pipeline.channels.ports import Suppressions
from pipeline.channels.rendering import Renderer, one_line
from pipeline.channels.tracking import Open, Tracker
from pipeline.channels.unsubscribe import PreferenceLink, Unsubscribe, sign, sign_preferences
from pipeline.channels.warm_up import WarmUp
from pipeline.config import EmailSettings
from pipeline.errors import ConfigurationError
from pipeline.events.records import Dispatch
from pipeline.events.references import Reference, Seal, reference_of
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.mail import MailMessage, MailProvider
from pipeline.users.snapshot import EVERY, UserSnapshot

MAX_MAIL = 10 * 1024 * 1024
"""Bytes of a complete mail that every provider takes: SMTP relays by convention, SES 40 MB, SendGrid 30, Mailgun 25."""

_MAY_HAVE_GONE_OUT = frozenset({Outcome.ACCEPTED, Outcome.AMBIGUOUS})

LONGEST_LINK = 900
"""Characters of an unsubscribe link: it stands on one header line, of at most 998 bytes (RFC 5322, section 2.1.1)."""

_EMPTY_LINES = re.compile(r"\n{3,}")


class EmailPart(NamedTuple):
    """A part's payload. `address` is as the user's profile has it."""

    address: str
    mail: MailMessage


class _Links(NamedTuple):
    """Links for a mail's recipient; empty without a secret."""

    unsubscribe: str
    preferences: str

    @property
    def variables(self) -> dict[str, object]:
        """For templates: undefined where there is none."""
        links = {"unsubscribe_url": self.unsubscribe, "preferences_url": self.preferences}
        return {name: link for name, link in links.items() if link}


class EmailSender:
    """The e-mail channel. `public_url` is the base of links to hosted pages; without a `tracker` nothing is tracked."""

    channel = Channel.EMAIL
    repeat_is_harmless = False

    def __init__(
        self,
        renderer: Renderer,
        provider: MailProvider,
        suppressions: Suppressions,
        settings: EmailSettings,
        *,
        public_url: str,
        warm_up: WarmUp | None = None,
        tracker: Tracker | None = None,
        seal: Seal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the senders. Without a `seal` mails carry no reference, and their receipts are of unknown notifications.

        Raises:
            ConfigurationError: a sender has no usable address.
        """
        self._renderer = renderer
        self._provider = provider
        self._suppressions = suppressions
        self._warm_up = warm_up
        self._tracker = tracker
        self._seal = seal
        self._senders = {
            Stream.TRANSACTIONAL: _sender("email.from_transactional", settings.from_transactional),
            Stream.MARKETING: _sender("email.from_marketing", settings.from_marketing),
        }
        self._secret = settings.unsubscribe_secret.get_secret_value().encode()
        self._feedback_sender = settings.feedback_sender
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    async def start(self) -> None:
        await self._provider.start()

    async def close(self) -> None:
        await self._provider.close()

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """One part; see `pipeline.channels.base.ChannelSender.prepare`."""
        recipient = email_address(user.email or "")
        if user.email is None or recipient is None:
            raise Refused(Reason.NO_ADDRESS, "the e-mail address is missing or not one that can be written to")
        marketing = dispatch.stream == Stream.MARKETING
        now, reference = int(self._clock() * 1000), reference_of(dispatch)
        links = self._links(reference, now)
        if marketing and not links.unsubscribe:
            raise Refused(Reason.PROVIDER_CONFIGURATION, "email.unsubscribe_secret is not set: marketing mail needs it")
        rendered = self._renderer.render(dispatch, user, links.variables)
        if self._tracker is not None and self._tracker.tracks(dispatch.category, user, Channel.EMAIL):
            rendered["html"] = self._tracker.instrument(rendered["html"], Open(reference, now))
        mail = self._mail(dispatch, recipient, links.unsubscribe, rendered)
        return [Part(key="", payload=EmailPart(user.email, mail))]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """Send, through the pool that IP warm-up says. See `pipeline.channels.base.ChannelSender.send`."""
        assert isinstance(part.payload, EmailPart)
        mail = part.payload.mail
        if self._warm_up is None:
            return await self._provider.send(mail)
        admission = await self._warm_up.admit(mail.pool, urgent=dispatch.priority is Priority.CRITICAL)
        if isinstance(admission, SendResult):
            return admission
        result = await self._provider.send(mail._replace(pool=admission.pool))
        if result.outcome not in _MAY_HAVE_GONE_OUT:
            await self._warm_up.give_back(admission)
        return result

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:  # noqa: ARG002 - dito
        """Suppress the address: the relay says that there is no such mailbox."""
        assert isinstance(part.payload, EmailPart)
        await self._suppressions.add(Channel.EMAIL, dispatch.event.recipient_id, part.payload.address, EVERY, "bounce")

    def _mail(self, dispatch: Dispatch, recipient: str, link: str, rendered: dict[str, str]) -> MailMessage:
        sender = self._senders[Stream.MARKETING if dispatch.stream == Stream.MARKETING else Stream.TRANSACTIONAL]
        subject = one_line(rendered["subject"])
        if not subject:
            raise Refused(Reason.TEMPLATE_ERROR, f"template {dispatch.template!r} makes an empty subject")
        text = _EMPTY_LINES.sub("\n\n", rendered["text"]).strip()
        headers = mail_headers(
            notification_id=dispatch.notification_id,
            sender_domain=sender.domain,
            category=dispatch.category,
            stream=dispatch.stream,
            feedback_sender=self._feedback_sender,
            unsubscribe=link,
        )
        content = MailContent(recipient, subject, text, rendered["html"], self._clock(), headers)
        return MailMessage(
            sender=sender.address,
            sender_name=sender.name,
            recipient=recipient,
            subject=subject,
            text=text,
            html=rendered["html"],
            headers=headers,
            notification_id=dispatch.notification_id,
            category=dispatch.category,
            stream=dispatch.stream,
            pool=dispatch.stream,
            content=_mime(sender, content),
            reference=self._seal.close(reference_of(dispatch)) if self._seal else "",
        )

    def _links(self, reference: Reference, now: int) -> _Links:
        if not self._secret:
            return _Links("", "")
        user_id = reference.recipient_id
        preferences = sign_preferences(PreferenceLink(user_id, now), self._secret)
        claim = Unsubscribe(user_id, reference.category, Channel.EMAIL, reference)
        return _Links(self._unsubscribe_link(claim), f"{self._public_url}/p/{preferences}")

    def _unsubscribe_link(self, claim: Unsubscribe) -> str:
        """Very long ids do not fit: then it does not say which notification it came with."""
        link = f"{self._public_url}/u/{sign(claim, self._secret)}"
        if len(link) <= LONGEST_LINK or claim.reference is None:
            return link
        return self._unsubscribe_link(Unsubscribe(claim.user_id, claim.category, claim.channel))


def _sender(name: str, text: str) -> Sender:
    if sender := parse_sender(text):
        return sender
    raise ConfigurationError(f"{name} {text!r} has no usable address: write Name <name@example.com>")


def _mime(sender: Sender, content: MailContent) -> bytes:
    mail = _build(sender, content)
    if len(mail) > MAX_MAIL:
        raise Refused(Reason.TOO_LARGE, f"the mail takes {len(mail):,} bytes, {MAX_MAIL:,} are allowed")
    return mail


def _build(sender: Sender, content: MailContent) -> bytes:
    try:
        return build_mail(sender, content)
    except ValueError as error:
        raise Refused(Reason.TOO_LARGE, str(error)) from error
