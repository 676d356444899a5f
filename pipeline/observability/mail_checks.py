"""Whether the accounts that send e-mail take our credentials. Nothing is sent to anybody."""

import asyncio

from pipeline.channels.factory import with_overrides
from pipeline.config import AccountSettings, Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.observability.finding import Finding, Level
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.mailers import MAILERS

ANSWER_SECONDS = 5.0


async def examine_mail(settings: Settings) -> list[Finding]:
    """A finding for each account in ``email.providers``, in the order of failover."""
    return list(await asyncio.gather(*(_examine(entry, settings) for entry in settings.email.providers)))


async def _examine(entry: AccountSettings, settings: Settings) -> Finding:
    """Credentials that are refused keep mail from going out; a server that is away may come back."""
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
    if (open_mailer := MAILERS.get(entry.provider_name)) is None:
        raise ConfigurationError(f"email.providers: {entry.provider_name!r} is none; there are: {', '.join(MAILERS)}")
    mailer = open_mailer(with_overrides(Channel.EMAIL, entry, settings).providers, ANSWER_SECONDS)
    await mailer.start()
    try:
        return await mailer.check()
    finally:
        await mailer.close()
