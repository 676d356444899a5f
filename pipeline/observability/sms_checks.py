"""Whether the accounts that send SMS take our credentials. Nothing is sent to anybody."""

import asyncio

from pipeline.channels.factory import with_overrides
from pipeline.config import AccountSettings, Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.observability.finding import Finding, Level
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.sms_providers import SMS_PROVIDERS, open_sms_provider

ANSWER_SECONDS = 5.0


async def examine_sms(settings: Settings) -> list[Finding]:
    """A finding for each account in ``sms.providers``, in the order of failover; none where nothing is set up."""
    if not _is_used(settings):
        return []
    return list(await asyncio.gather(*(_examine(entry, settings) for entry in settings.sms.providers)))


def _is_used(settings: Settings) -> bool:
    """Whether somebody has listed accounts, or set anything of those that stand in the list by default."""
    if "providers" in settings.sms.model_fields_set:
        return True
    sections = (getattr(settings.providers, entry.provider_name) for entry in settings.sms.providers)
    return any(section != type(section)() for section in sections)


async def _examine(entry: AccountSettings, settings: Settings) -> Finding:
    """Credentials that are refused keep SMS from going out; a server that is away may come back."""
    name, section = f"{entry.name} account", f"providers.{entry.provider_name}"
    try:
        result = await _ask(entry, settings)
    except ConfigurationError as error:
        return Finding(name, Level.FAIL, str(error), f"mend {section}")
    match result.outcome:
        case Outcome.ACCEPTED:
            return Finding(name, Level.OK, "takes our credentials")
        case Outcome.THROTTLED | Outcome.TRANSIENT | Outcome.AMBIGUOUS:
            return Finding(
                name, Level.WARN, f"no verdict: {result.error}", f"is {section}.base_url reachable from here?"
            )
        case _:
            return Finding(name, Level.FAIL, f"refused: {result.error}", f"mend {section}")


async def _ask(entry: AccountSettings, settings: Settings) -> SendResult:
    if entry.provider_name not in SMS_PROVIDERS:
        raise ConfigurationError(
            f"sms.providers: {entry.provider_name!r} is none; there are: {', '.join(SMS_PROVIDERS)}"
        )
    providers = with_overrides(Channel.SMS, entry, settings).providers
    provider = open_sms_provider(entry.provider_name, providers, timeout=ANSWER_SECONDS)
    await provider.start()
    try:
        return await provider.check()
    finally:
        await provider.close()
