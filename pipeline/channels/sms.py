"""SMS: one part, through Twilio."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol
from urllib.parse import quote

from pipeline.channels.addresses import phone_number
from pipeline.channels.base import Part, Refused
from pipeline.channels.ports import References, Suppressions
from pipeline.channels.rendering import Renderer
from pipeline.channels.segments import MAX_SEGMENTS, segments
from pipeline.errors import Unavailable
from pipeline.events.records import Dispatch
from pipeline.events.references import reference_of
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import SendResult
from pipeline.providers.twilio import OPTED_OUT
from pipeline.users.snapshot import EVERY, UserSnapshot


class SmsProvider(Protocol):
    """What this channel needs of `pipeline.providers.twilio.Twilio`."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, to: str, text: str, status_callback: str) -> SendResult: ...


class SmsPart(NamedTuple):
    """A part's payload. `address` is the number as the user's profile has it, `to` the same in E.164.

    `sender` is the number that it comes from, if it is known before the provider chooses one.
    """

    address: str
    to: str
    text: str
    status_callback: str
    sender: str = ""


class SmsSender:
    """The SMS channel. `public_url` is where Twilio reaches the gateway for receipts."""

    channel = Channel.SMS
    repeat_is_harmless = False

    def __init__(
        self,
        renderer: Renderer,
        provider: SmsProvider,
        suppressions: Suppressions,
        *,
        public_url: str,
        sender: str = "",
        references: References | None = None,
    ) -> None:
        """`references`: where receipts are looked up by id; without, they are of unknown notifications."""
        self._renderer = renderer
        self._provider = provider
        self._suppressions = suppressions
        self._sender = sender
        self._references = references
        self._callback = public_url.rstrip("/") + "/v1/webhooks/twilio?notification_id="

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
        text = self._renderer.render(dispatch, user)["text"].strip()
        if not text:
            raise Refused(Reason.TEMPLATE_ERROR, f"template {dispatch.template!r} makes an empty SMS")
        if (count := segments(text)) > MAX_SEGMENTS:
            raise Refused(Reason.TOO_LARGE, f"the SMS takes {count} segments, {MAX_SEGMENTS} are allowed")
        callback = self._callback + quote(dispatch.notification_id, safe="")
        return [Part(key="", payload=SmsPart(address, to, text, callback, self._sender))]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """See `pipeline.channels.base.ChannelSender.send`. A receipt may be there before the answer is."""
        assert isinstance(part.payload, SmsPart)
        if self._references:
            with suppress(Unavailable):  # its receipts will be of an unknown notification; the message is worth more
                await self._references.put(reference_of(dispatch))
        return await self._provider.send(part.payload.to, part.payload.text, part.payload.status_callback)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Suppress the number: it does not exist, takes no SMS, or has answered STOP."""
        assert isinstance(part.payload, SmsPart)
        reason = "stop" if result.error == OPTED_OUT else "invalid_number"
        await self._suppressions.add(Channel.SMS, dispatch.event.recipient_id, part.payload.address, EVERY, reason)
