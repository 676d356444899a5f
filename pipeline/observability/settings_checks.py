"""Settings that are each allowed and together contradict each other. Pure."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.config import PREFIX, Settings
from pipeline.observability.finding import Finding, Level

LOCAL = frozenset({"localhost", "127.0.0.1", "::1", ""})


class Contradiction(NamedTuple):
    """What is wrong together, and the setting to change."""

    level: Level
    detail: str
    setting: str
    remedy: str


def settings_findings(settings: Settings) -> list[Finding]:
    """A finding for each contradiction; one that all is well where there is none. What `Settings` itself refuses is none."""
    found = [_finding(each) for each in (*_delivery(settings), *_servers(settings), *_links(settings))]
    return found or [Finding("configuration", Level.OK, "the settings fit together")]


def _finding(wrong: Contradiction) -> Finding:
    variable = PREFIX + wrong.setting.upper().replace(".", "__")
    return Finding(f"configuration {wrong.setting}", wrong.level, wrong.detail, f"{wrong.remedy} ({variable})")


def _delivery(settings: Settings) -> Iterator[Contradiction]:
    delivery, breaker = settings.delivery, settings.breaker
    hold = delivery.provider_timeout + settings.redis.timeout
    if delivery.lease <= hold:
        yield Contradiction(
            Level.WARN,
            f"a lease of {delivery.lease:g} s ends before a slow Redis and a slow provider have answered ({hold:g} s): "
            "such a send becomes in doubt",
            "delivery.lease",
            f"make it longer than delivery.provider_timeout and redis.timeout together, more than {hold:g} s",
        )
    if delivery.drain_timeout < delivery.provider_timeout:
        yield Contradiction(
            Level.WARN,
            f"a stop waits {delivery.drain_timeout:g} s, a provider may take {delivery.provider_timeout:g} s: "
            "a deployment leaves sends in doubt",
            "delivery.drain_timeout",
            f"make it {delivery.provider_timeout:g} s or more, and Kubernetes' grace period longer still",
        )
    if delivery.concurrency > delivery.max_in_flight:
        yield Contradiction(
            Level.WARN,
            f"{delivery.concurrency} sends at once are never reached with {delivery.max_in_flight} records in flight",
            "delivery.max_in_flight",
            "make it several times delivery.concurrency",
        )
    if delivery.backoff_base > delivery.backoff_cap:
        yield Contradiction(
            Level.WARN,
            f"the first backoff ({delivery.backoff_base:g} s) is longer than the longest ({delivery.backoff_cap:g} s)",
            "delivery.backoff_cap",
            "make it longer than delivery.backoff_base",
        )
    if delivery.retention < settings.router.idempotency_retention:
        yield Contradiction(
            Level.WARN,
            f"workers remember for {delivery.retention:g} s what they sent, the router for "
            f"{settings.router.idempotency_retention:g} s: what is delivered again in between is sent again",
            "delivery.retention",
            "make it as long as router.idempotency_retention, or longer",
        )
    if breaker.open_for > breaker.open_cap:
        yield Contradiction(
            Level.WARN,
            f"the first wait for a probe ({breaker.open_for:g} s) is longer than the longest ({breaker.open_cap:g} s)",
            "breaker.open_cap",
            "make it longer than breaker.open_for",
        )


def _servers(settings: Settings) -> Iterator[Contradiction]:
    kafka, archive = settings.kafka, settings.store.archive
    protocol = kafka.client.get("security.protocol", "").upper()
    if any(name.startswith("sasl.") for name in kafka.client) and not protocol.startswith("SASL_"):
        yield Contradiction(
            Level.FAIL,
            f"SASL credentials are given, and security.protocol is {protocol or 'PLAINTEXT'}: they are never used",
            "kafka.client",
            "set security.protocol to SASL_SSL in it",
        )
    if any(name.startswith("ssl.") for name in kafka.client) and not protocol.endswith("SSL"):
        yield Contradiction(
            Level.FAIL,
            f"TLS files are given, and security.protocol is {protocol or 'PLAINTEXT'}: nothing is encrypted",
            "kafka.client",
            "set security.protocol to SSL or SASL_SSL in it",
        )
    if (archive.access_key is None) != (archive.secret_key is None):
        missing = "access_key" if archive.access_key is None else "secret_key"
        yield Contradiction(
            Level.FAIL,
            "half of the archive's credentials is set: it cannot be written",
            f"store.archive.{missing}",
            "set both, or neither to use what AWS's own tools find",
        )


def _links(settings: Settings) -> Iterator[Contradiction]:
    public = urlsplit(settings.http.public_url)
    if settings.gateway.host not in LOCAL and (public.hostname or "") in LOCAL:
        yield Contradiction(
            Level.WARN,
            f"the gateway listens on {settings.gateway.host}, and links in messages lead to {settings.http.public_url}",
            "http.public_url",
            "set it to the address that recipients and providers reach the gateway at",
        )
    if not settings.email.unsubscribe_secret.get_secret_value():
        yield Contradiction(
            Level.WARN,
            "marketing mail is refused: nothing signs its unsubscribe links",
            "email.unsubscribe_secret",
            "set it (openssl rand -base64 32) where marketing mail is sent",
        )
    plain = [name for name, url in _provider_addresses(settings) if _speaks_plainly(url)]
    for name in plain:
        yield Contradiction(
            Level.WARN,
            "our credentials go there unencrypted",
            f"providers.{name}.base_url",
            "use https://",
        )


def _provider_addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, section in settings.providers:
        yield name, str(getattr(section, "base_url", ""))


def _speaks_plainly(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and (parts.hostname or "") not in LOCAL
