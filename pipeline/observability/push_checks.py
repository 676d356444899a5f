"""Whether the push providers take our credentials. Nothing is sent to anybody."""

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.config import ApnsSettings, FcmSettings, ProviderSettings, WebPushSettings
from pipeline.errors import ConfigurationError
from pipeline.observability.finding import Finding, Level
from pipeline.providers.apns import Apns
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.fcm import Fcm
from pipeline.providers.webpush import WebPush

ANSWER_SECONDS = 5.0


async def examine_push(providers: ProviderSettings) -> list[Finding]:
    """A finding for each account that is set up; none for those that are not."""
    fcm, apns, webpush = providers.fcm, providers.apns, providers.webpush
    checks: list[Awaitable[Finding]] = []
    if fcm.service_account or fcm.project_id:
        checks.append(_finding("fcm account", "providers.fcm", lambda: _ask_fcm(fcm)))
    if apns.signing_key or apns.team_id or apns.key_id:
        checks.append(_finding("apns account", "providers.apns", lambda: _ask_apns(apns)))
    if webpush.vapid_key.get_secret_value() or webpush.subject:
        checks.append(_finding("webpush account", "providers.webpush", lambda: _read_webpush(webpush)))
    return list(await asyncio.gather(*checks))


async def _finding(name: str, section: str, ask: Callable[[], Awaitable[tuple[SendResult, str]]]) -> Finding:
    try:
        result, detail = await ask()
    except ConfigurationError as error:
        return Finding(name, Level.FAIL, str(error), f"mend {section}")
    match result.outcome:
        case Outcome.ACCEPTED:
            return Finding(name, Level.OK, detail)
        case Outcome.CONFIGURATION:
            return Finding(name, Level.FAIL, f"refused: {result.error}", f"mend {section}")
        case _:
            return Finding(
                name, Level.WARN, f"no verdict: {result.error}", f"is {section}.base_url reachable from here?"
            )


async def _ask_fcm(settings: FcmSettings) -> tuple[SendResult, str]:
    client = Fcm(settings, timeout=ANSWER_SECONDS)
    await client.start()
    try:
        return await client.check(), f"{settings.base_url} takes our credentials"
    finally:
        await client.close()


async def _ask_apns(settings: ApnsSettings) -> tuple[SendResult, str]:
    client = Apns(settings, timeout=ANSWER_SECONDS)
    try:
        return await client.check(), f"the {settings.environment} environment takes our credentials"
    finally:
        await client.close()


async def _read_webpush(settings: WebPushSettings) -> tuple[SendResult, str]:
    """There is no service to ask: each subscription has its own. The key is there and can sign."""
    client = WebPush(settings, timeout=ANSWER_SECONDS)
    ready = SendResult(outcome=Outcome.ACCEPTED, provider=client.name)
    return ready, f"the VAPID key can be read; its public key is {client.public_key}"
