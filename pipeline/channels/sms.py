"""SMS: one part, through whichever provider the account is at."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote

from pipeline.channels.addresses import country_of, phone_number
from pipeline.channels.base import Part, Refused
from pipeline.channels.ports import References, Suppressions
from pipeline.channels.rendering import Renderer
from pipeline.channels.segments import is_gsm, segments
from pipeline.config import SmsSettings
from pipeline.config.countries import by_country
from pipeline.errors import Unavailable
from pipeline.events.records import Dispatch
from pipeline.events.references import reference_of
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import SendResult
from pipeline.providers.sms import SmsMessage, SmsProvider
from pipeline.users.snapshot import EVERY, UserSnapshot

SenderOf = Callable[[str], str | None]
"""The sender of an account for a country (ISO 3166); "": the provider chooses; None: the account has none for it."""


class SmsPart(NamedTuple):
    """A part's payload. `address` is the number as the user's profile has it; the message has the same in E.164."""

    address: str
    message: SmsMessage


class SmsSender:
    """The SMS channel through one account. `public_url` is where the provider reaches the gateway for receipts."""

    channel = Channel.SMS
    repeat_is_harmless = False

    def __init__(
        self,
        renderer: Renderer,
        provider: SmsProvider,
        suppressions: Suppressions,
        settings: SmsSettings,
        *,
        public_url: str,
        sender_of: SenderOf,
        references: References | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`references`: where receipts are looked up by id; without, they are of unknown notifications."""
        self._renderer = renderer
        self._provider = provider
        self._suppressions = suppressions
        self._settings = settings
        self._sender_of = sender_of
        self._references = references
        self._clock = clock
        self._callback = f"{public_url.rstrip('/')}/v1/webhooks/{provider.name}?notification_id="

    async def start(self) -> None:
        await self._provider.start()

    async def close(self) -> None:
        await self._provider.close()

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """One part; see `pipeline.channels.base.ChannelSender.prepare`."""
        address = user.phone or ""
        to = phone_number(address)
        if to is None:
            raise Refused(Reason.NO_ADDRESS, "the phone number is missing or not in international format")
        country = country_of(to)
        sender = self._sender_of(country)
        if sender is None:
            place = f"providers.{self._provider.name}"
            raise Refused(
                Reason.PROVIDER_CONFIGURATION,
                f"no sender for country {country}: set {place}.senders or {place}.from_number",
            )
        text = self._renderer.render(dispatch, user)["text"].strip()
        if not text:
            raise Refused(Reason.TEMPLATE_ERROR, f"template {dispatch.template!r} makes an empty SMS")
        check_size(text, country, self._settings)
        callback = self._callback + quote(dispatch.notification_id, safe="")
        ttl = None if dispatch.expires_at is None else max(1, int(dispatch.expires_at / 1000 - self._clock()))
        message = SmsMessage(to, text, is_gsm(text), sender, dispatch.notification_id, callback, dispatch.stream, ttl)
        return [Part(key="", payload=SmsPart(address, message))]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """See `pipeline.channels.base.ChannelSender.send`. A receipt may be there before the answer is."""
        assert isinstance(part.payload, SmsPart)
        if self._references:
            with suppress(Unavailable):  # its receipts will be of an unknown notification; the message is worth more
                await self._references.put(reference_of(dispatch))
        return await self._provider.send(part.payload.message)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Suppress the number: it does not exist, takes no SMS, or has answered STOP."""
        assert isinstance(part.payload, SmsPart)
        reason = "stop" if result.error in self._provider.opted_out else "invalid_number"
        await self._suppressions.add(Channel.SMS, dispatch.event.recipient_id, part.payload.address, EVERY, reason)


def check_size(text: str, country: str, settings: SmsSettings) -> None:
    """See that a text keeps to the limits of segments and of price.

    Raises:
        Refused: it does not; says by how much.
    """
    count = segments(text)
    if count > settings.max_segments:
        raise Refused(Reason.TOO_LARGE, f"the SMS takes {count} segments, {settings.max_segments} are allowed")
    if settings.max_price is None:
        return
    price = count * (by_country(settings.prices, country) or 0)
    if price > settings.max_price:
        raise Refused(
            Reason.TOO_EXPENSIVE,
            f"the SMS costs {price:g} ({count} segments to {country}), {settings.max_price:g} is allowed",
        )
