"""When the certificates that the settings name end. Whoever watches the gauge has time to exchange them."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from pipeline.config import Settings
from pipeline.observability.metrics import Metrics

logger = logging.getLogger(__name__)

EVERY = 300.0
"""Seconds between two looks: files are exchanged while a service runs."""

_PEM = b"-----BEGIN CERTIFICATE-----"
_KAFKA = {"ssl.certificate.location": False, "ssl.ca.location": True}
_REDIS = {"ssl_certfile": False, "ssl_ca_certs": True}
_POSTGRES = {"sslcert": False, "sslrootcert": True}


class Named:
    """A certificate file and its name in the metric. `authorities`: it is a list of those that are trusted."""

    def __init__(self, name: str, path: Path, *, authorities: bool) -> None:
        self.name = name
        self.path = path
        self._authorities = authorities

    def ends_at(self) -> datetime:
        """A chain ends with its first certificate, which is ours; trusted authorities end with the last of them.

        Raises:
            OSError, ValueError: the file cannot be read, or holds no certificate.
        """
        ends = [certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(self._read())]
        return max(ends) if self._authorities else ends[0]

    def _read(self) -> bytes:
        data = self.path.read_bytes()
        if _PEM not in data:
            raise ValueError("it holds no PEM certificate")
        return data


def certificates(settings: Settings) -> Iterator[Named]:
    """Every certificate file that the settings name."""
    for prefix, given, keys in (
        ("kafka", settings.kafka.client, _KAFKA),
        ("redis", _query(settings.redis.url), _REDIS),
        ("postgresql", _query(settings.postgres.dsn.get_secret_value()), _POSTGRES),
    ):
        for key, authorities in keys.items():
            if key in given and given[key] != "system":
                yield Named(f"{prefix} {key}", Path(given[key]), authorities=authorities)
    if settings.providers.apns.ca_certificates:
        yield Named("apns ca_certificates", settings.providers.apns.ca_certificates, authorities=True)


def _query(url: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


async def watch_certificates(named: Sequence[Named], metrics: Metrics) -> None:
    """Keep the gauges current until cancelled. A file that cannot be read shows as ended long ago."""
    while True:
        for certificate in named:
            metrics.credential_expiry.labels(certificate.name).set(await asyncio.to_thread(_seconds, certificate))
        await asyncio.sleep(EVERY)


def _seconds(certificate: Named) -> float:
    try:
        return certificate.ends_at().timestamp()
    except (OSError, ValueError) as error:
        logger.warning("cannot tell when %s ends: %s", certificate.name, error)
        return 0.0
