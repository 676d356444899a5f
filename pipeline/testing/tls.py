"""A certificate for servers on this machine, made when it is needed and trusted by nobody else."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=2)


class LocalCertificate:
    """Self-signed, for ``localhost`` and 127.0.0.1; `path` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        """Make one, in `folder`."""
        self.path = folder / "local-certificate.pem"
        self._key_path = folder / "local-key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        self.path.write_bytes(_certificate(key).public_bytes(serialization.Encoding.PEM))
        self._key_path.touch(mode=0o600)
        self._key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def server_context(self, protocols: list[str]) -> ssl.SSLContext:
        """For a server that speaks `protocols` (ALPN)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self._key_path)
        context.set_alpn_protocols(protocols)
        return context


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    serial = x509.random_serial_number()
    # of two trusted certificates of one name OpenSSL would look at the first only
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"localhost {serial:x}")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
