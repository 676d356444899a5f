"""Whether the accounts at providers take our credentials. Nothing is sent to anybody.

A provider is plugged in by its name, in `CHECKS`: whatever can be started, asked (`check`) and closed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from pipeline.channels.factory import with_overrides
from pipeline.config import AccountSettings, ProviderSettings, Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.observability.finding import Finding, Level
from pipeline.providers import apns_table, fcm, webpush_table
from pipeline.providers.apns import Apns
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.fcm import Fcm
from pipeline.providers.mailers import MAILERS
from pipeline.providers.sms_providers import SMS_PROVIDERS
from pipeline.providers.webpush import WebPush

ANSWER_SECONDS = 5.0

Ask = Callable[[ProviderSettings], Awaitable[tuple[SendResult, str]]]
"""Asks the provider: its answer (ACCEPTED: it takes our credentials), and what to tell then. Raises `ConfigurationError`."""


class Checked(Protocol):
    """A provider's client that can ask about its own account."""

    async def start(self) -> None: ...

    async def check(self) -> SendResult: ...

    async def close(self) -> None: ...


def by(open_client: Callable[[ProviderSettings, float], Checked]) -> Ask:
    """The check of a provider whose client has one."""

    async def ask(providers: ProviderSettings) -> tuple[SendResult, str]:
        client = open_client(providers, ANSWER_SECONDS)
        await client.start()
        try:
            return await client.check(), "takes our credentials"
        finally:
            await client.close()

    return ask


async def _read_webpush(providers: ProviderSettings) -> tuple[SendResult, str]:
    """There is no service to ask: each subscription has its own. The key is there and can sign."""
    client = WebPush(providers.webpush, timeout=ANSWER_SECONDS)
    told = f"the VAPID key can be read; its public key is {client.public_key}"
    return SendResult(outcome=Outcome.ACCEPTED, provider=client.name), told


CHECKS: dict[Channel, dict[str, Ask]] = {
    Channel.PUSH: {
        fcm.NAME: by(lambda providers, timeout: Fcm(providers.fcm, timeout=timeout)),
        apns_table.NAME: by(lambda providers, timeout: Apns(providers.apns, timeout=timeout)),
        webpush_table.NAME: _read_webpush,
    },
    Channel.EMAIL: {name: by(open_mailer) for name, open_mailer in MAILERS.items()},
    Channel.SMS: {name: by(offer.open) for name, offer in SMS_PROVIDERS.items()},
}
"""The check of every provider of every channel: adding one is a line here."""


async def examine_accounts(settings: Settings) -> list[Finding]:
    """A finding for each account that is listed, channel by channel in the order of failover."""
    push, mail, sms = await asyncio.gather(examine_push(settings), examine_mail(settings), examine_sms(settings))
    return [*push, *mail, *sms]


async def examine_push(settings: Settings) -> list[Finding]:
    """The listed accounts, or where none are listed those that are set up; none for those that are not."""
    listed = settings.push.providers or [AccountSettings(name=name) for name in _set_up(settings.providers)]
    return await _examine(Channel.PUSH, listed, settings)


def _set_up(providers: ProviderSettings) -> list[str]:
    """Those of which anything is set; half a set-up is then a finding."""
    fcm_, apns, webpush = providers.fcm, providers.apns, providers.webpush
    begun = {
        fcm.NAME: fcm_.service_account or fcm_.project_id,
        apns_table.NAME: apns.signing_key or apns.team_id or apns.key_id,
        webpush_table.NAME: webpush.vapid_key.get_secret_value() or webpush.subject,
    }
    return [name for name, anything in begun.items() if anything]


async def examine_mail(settings: Settings) -> list[Finding]:
    """The accounts in ``email.providers``."""
    return await _examine(Channel.EMAIL, settings.email.providers, settings)


async def examine_sms(settings: Settings) -> list[Finding]:
    """The accounts in ``sms.providers``; none where neither the list nor the accounts in it were touched."""
    return await _examine(Channel.SMS, settings.sms.providers, settings) if _sms_is_used(settings) else []


def _sms_is_used(settings: Settings) -> bool:
    if "providers" in settings.sms.model_fields_set:
        return True
    sections = (getattr(settings.providers, entry.provider_name) for entry in settings.sms.providers)
    return any(section != type(section)() for section in sections)


async def _examine(
    channel: Channel, entries: "tuple[AccountSettings, ...] | list[AccountSettings]", settings: Settings
) -> list[Finding]:
    return list(await asyncio.gather(*(_examine_one(channel, entry, settings) for entry in entries)))


async def _examine_one(channel: Channel, entry: AccountSettings, settings: Settings) -> Finding:
    """Credentials that are refused keep messages from going out; a server that is away may come back."""
    name, section = f"{entry.name} account", f"providers.{entry.provider_name}"
    try:
        if (ask := CHECKS[channel].get(entry.provider_name)) is None:
            offered = ", ".join(CHECKS[channel])
            raise ConfigurationError(f"{channel}.providers: {entry.provider_name!r} is none; there are: {offered}")
        result, told = await ask(with_overrides(channel, entry, settings).providers)
    except ConfigurationError as error:
        return Finding(name, Level.FAIL, str(error), f"mend {section}")
    match result.outcome:
        case Outcome.ACCEPTED:
            return Finding(name, Level.OK, told)
        case Outcome.THROTTLED | Outcome.TRANSIENT | Outcome.AMBIGUOUS:
            remedy = f"is {section}.base_url reachable from here?"
            return Finding(name, Level.WARN, f"no verdict: {result.error}", remedy)
        case _:
            return Finding(name, Level.FAIL, f"refused: {result.error}", f"mend {section}")
