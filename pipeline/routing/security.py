"""librdkafka's security properties, said in Faust's words: one set of settings serves both clients."""

import ssl

import faust
from faust.types.auth import CredentialsT

from pipeline.config import KafkaSettings
from pipeline.errors import ConfigurationError


def broker_credentials(kafka: KafkaSettings) -> CredentialsT | None:
    """Credentials made from ``security.protocol``, ``sasl.*`` and ``ssl.*`` of ``kafka.client``; None for plain text.

    Raises:
        ConfigurationError: the protocol or the mechanism is one that the router cannot speak.
    """
    client = kafka.client
    protocol = client.get("security.protocol", "plaintext").upper()
    match protocol:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(context=_tls(client))
        case "SASL_PLAINTEXT":
            return _sasl(client, None)
        case "SASL_SSL":
            return _sasl(client, _tls(client))
    raise ConfigurationError(
        f"kafka.client: security.protocol {protocol!r}: use PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
    )


def _sasl(client: dict[str, str], context: ssl.SSLContext | None) -> CredentialsT:
    mechanism = client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "PLAIN"
    if mechanism not in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
        raise ConfigurationError(
            f"kafka.client: sasl.mechanism {mechanism!r}: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
        )
    return faust.SASLCredentials(
        username=client.get("sasl.username"),
        password=client.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _tls(client: dict[str, str]) -> ssl.SSLContext:
    """Verifies the broker's certificate and name unless told otherwise; presents our own where there is one (mTLS)."""
    try:
        context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
        if certificate := client.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, client.get("ssl.key.location"), client.get("ssl.key.password"))
    except OSError as error:
        raise ConfigurationError(f"kafka.client: cannot read the TLS files: {error}") from error
    if client.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    return context
