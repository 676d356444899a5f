"""Amazon SNS over HTTP: whether a message is SNS's, and of a topic of ours.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
from collections import OrderedDict
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from pipeline.errors import Unavailable
from pipeline.gateway.webhooks.base import Untrusted, read_time

NOTIFICATION = "Notification"
CONFIRMATION = "SubscriptionConfirmation"
UNSUBSCRIBED = "UnsubscribeConfirmation"

HASHES: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}
"""By ``SignatureVersion``."""

CERTIFICATES = 8
MAX_CERTIFICATE = 65_536
FETCH_TIMEOUT = aiohttp.ClientTimeout(total=5)

_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]{1,256}")
_PEM = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")


class Envelope(msgspec.Struct, frozen=True, rename="pascal"):
    """A message of SNS. What is signed of it, `signed_text` says."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str = ""
    subscribe_url: str = msgspec.field(default="", name="SubscribeURL")


_decode = msgspec.json.Decoder(Envelope).decode


def read_envelope(body: bytes) -> Envelope:
    """Raises `Untrusted`: it is no message of SNS (raw delivery carries no signature and is not taken)."""
    try:
        return _decode(body)
    except msgspec.DecodeError:
        raise Untrusted("The body is no signed message of SNS; raw message delivery has to be off.") from None


def signed_text(envelope: Envelope) -> bytes:
    """The names and values that the signature covers, a line each."""
    pairs = [("Message", envelope.message), ("MessageId", envelope.message_id)]
    if envelope.type == NOTIFICATION:
        pairs += [("Subject", envelope.subject)] if envelope.subject is not None else []
        pairs += [("Timestamp", envelope.timestamp)]
    else:
        pairs += [("SubscribeURL", envelope.subscribe_url), ("Timestamp", envelope.timestamp)]
        pairs += [("Token", envelope.token)]
    pairs += [("TopicArn", envelope.topic_arn), ("Type", envelope.type)]
    return "".join(f"{name}\n{value}\n" for name, value in pairs).encode()


def is_signed(envelope: Envelope, key: RSAPublicKey) -> bool:
    """Whether `key` has signed it, by the hash that its version says."""
    algorithm = HASHES.get(envelope.signature_version)
    if algorithm is None:
        return False
    try:
        key.verify(base64.b64decode(envelope.signature, validate=True), signed_text(envelope), PKCS1v15(), algorithm())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def sent_at(envelope: Envelope) -> float:
    """Seconds since the epoch.

    Raises:
        Untrusted: its time is none.
    """
    at = read_time(envelope.timestamp)
    if at is None:
        raise Untrusted("The Timestamp is no time in ISO 8601.")
    return at / 1000


def endpoint_of(topic_arn: str) -> str:
    """Where SNS is in the topic's region.

    Raises:
        Untrusted: it is no topic's ARN.
    """
    match = _ARN.fullmatch(topic_arn)
    if not match:
        raise Untrusted("TopicArn is no ARN of a topic.")
    return f"https://sns.{match[2]}.amazonaws.com" + (".cn" if match[1] == "aws-cn" else "")


class SnsEndpoint:
    """Fetches SNS's certificates, and confirms subscriptions; from SNS alone, in the region of the topic.

    `base_url` replaces its address, for tests. Certificates are kept: SNS signs with one for months.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str = "") -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._keys: OrderedDict[str, tuple[RSAPublicKey, float]] = OrderedDict()

    async def key(self, envelope: Envelope, now: float) -> RSAPublicKey:
        """The key of the certificate that the message names.

        Raises:
            Untrusted: the certificate is not SNS's, or has run out.
            Unavailable: it cannot be fetched now.
        """
        url = envelope.signing_cert_url
        self._require(url, envelope, "SigningCertURL")
        if not _PEM.fullmatch(urlsplit(url).path):
            raise Untrusted("SigningCertURL names no certificate of SNS.")
        known = self._keys.get(url)
        if known is None or known[1] <= now:
            known = self._keys[url] = _public_key(await self._fetch(url), now)
            if len(self._keys) > CERTIFICATES:
                self._keys.popitem(last=False)
        return known[0]

    async def confirm(self, envelope: Envelope) -> None:
        """Confirm the subscription that a verified message asks about.

        Raises:
            Untrusted: its address is not SNS's, or confirms something else.
            Unavailable: SNS does not answer.
        """
        url = envelope.subscribe_url
        self._require(url, envelope, "SubscribeURL")
        query = parse_qs(urlsplit(url).query)
        if query.get("Action") != ["ConfirmSubscription"] or query.get("TopicArn") != [envelope.topic_arn]:
            raise Untrusted("SubscribeURL does not confirm a subscription to that topic.")
        await self._fetch(url)

    def _require(self, url: str, envelope: Envelope, name: str) -> None:
        base = urlsplit(self._base or endpoint_of(envelope.topic_arn))
        try:
            parts = urlsplit(url)
        except ValueError:
            raise Untrusted(f"{name} is no URL.") from None
        if (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
            raise Untrusted(f"{name} is not at {base.scheme}://{base.netloc}, where SNS is for that topic.")

    async def _fetch(self, url: str) -> bytes:
        try:
            async with self._session.get(url, timeout=FETCH_TIMEOUT, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise Unavailable(f"SNS answered {answer.status}")
                return await answer.content.read(MAX_CERTIFICATE)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(f"SNS cannot be reached: {type(error).__name__}") from error


def _public_key(pem: bytes, now: float) -> tuple[RSAPublicKey, float]:
    """The key of a certificate, and until when it counts (s)."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        raise Untrusted("What SigningCertURL leads to is no certificate.") from None
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if not isinstance(key, RSAPublicKey) or not begins <= now < ends:
        raise Untrusted("The certificate that SigningCertURL leads to has run out, or has no RSA key.")
    return key, ends
