"""Which certificates the settings name, and when they end."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings, Settings
from pipeline.observability.expiry import Named, certificates, watch_certificates
from pipeline.observability.metrics import Metrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - timedelta(days=400))
    made = builder.not_valid_after(NOW + timedelta(days=days)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


async def shown(named: Named) -> float | None:
    metrics = Metrics()
    watch = asyncio.create_task(watch_certificates([named], metrics))
    value, labels = None, {"credential": named.name}
    for _ in range(6_000):
        await asyncio.sleep(0.01)
        value = metrics.registry.get_sample_value("notifications_credential_expiry_timestamp_seconds", labels)
        if value is not None:
            break
    watch.cancel()
    return value


def test_every_certificate_that_the_settings_name_is_watched() -> None:
    settings = Settings(
        kafka=KafkaSettings(client={"ssl.certificate.location": "/k/tls.crt", "ssl.ca.location": "/k/ca.crt"}),
        redis=RedisSettings(url="rediss://r:6379/0?ssl_ca_certs=/r/ca.crt"),
        postgres=PostgresSettings(dsn=SecretStr("postgresql://p/n?sslmode=verify-full&sslcert=/p/tls.crt")),
    )
    assert {named.name: str(named.path) for named in certificates(settings)} == {
        "kafka ssl.certificate.location": "/k/tls.crt",
        "kafka ssl.ca.location": "/k/ca.crt",
        "redis ssl_ca_certs": "/r/ca.crt",
        "postgresql sslcert": "/p/tls.crt",
    }


@pytest.mark.parametrize(("authorities", "days"), [(False, 30), (True, 300)])
def test_a_chain_ends_with_our_own_and_what_we_trust_with_the_last(
    tmp_path: Path, authorities: bool, days: int
) -> None:
    path = tmp_path / "x.pem"
    path.write_bytes(certificate(30) + certificate(300) + certificate(10))
    assert Named("x", path, authorities=authorities).ends_at() == NOW + timedelta(days=days)


async def test_a_certificate_that_is_exchanged_or_broken_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    named = Named("kafka", path, authorities=False)
    path.write_bytes(certificate(30))
    assert await shown(named) == (NOW + timedelta(days=30)).timestamp()
    path.write_bytes(b"half of a fi")
    assert await shown(named) == 0
    path.unlink()
    assert await shown(named) == 0
