"""What AWS checks of a signed request (Signature Version 4), computed by botocore's own signer."""

import hmac
import re
from datetime import UTC, datetime, timedelta

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CLOCK_SKEW = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/([a-z]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


class Unsigned(Exception):
    """The request is not signed as it must be; `exception` is what AWS calls it."""

    def __init__(self, exception: str, what: str) -> None:
        super().__init__(what)
        self.exception = exception


def check_signature(
    request: web.BaseRequest, body: bytes, service: str, region: str, access_key_id: str, secret: str
) -> None:
    """See that the request is signed by this key, for this service and region, now.

    Raises:
        Unsigned: it is not.
    """
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if not match:
        raise Unsigned("MissingAuthenticationToken", "no Authorization header of version 4")
    key, day, signed_region, signed_service, signed_headers, signature = match.groups()
    if key != access_key_id:
        raise Unsigned("UnrecognizedClientException", "unknown access key")
    stamp = request.headers.get("X-Amz-Date", "")
    if (signed_region, signed_service, day) != (region, service, stamp[:8]) or "host" not in signed_headers.split(";"):
        raise Unsigned("InvalidSignatureException", "another region, service or day, or the host is not signed")
    if abs(datetime.now(UTC) - _time(stamp)) > CLOCK_SKEW:
        raise Unsigned("RequestExpired", "the clock is more than 15 minutes off")
    if not hmac.compare_digest(
        signature, _sign(request, body, signed_headers.split(";"), service, region, key, secret)
    ):
        raise Unsigned("SignatureDoesNotMatch", "the signature is another one")


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise Unsigned("IncompleteSignature", "X-Amz-Date is missing or no time") from error


def _sign(
    request: web.BaseRequest, body: bytes, names: list[str], service: str, region: str, key: str, secret: str
) -> str:
    headers = {name: request.headers.get(name, "") for name in names}
    copy = AWSRequest(request.method, f"http://{request.host}{request.raw_path}", data=body, headers=headers)
    copy.context["timestamp"] = request.headers["X-Amz-Date"]
    auth = SigV4Auth(Credentials(key, secret), service, region)
    signature: str = auth.signature(auth.string_to_sign(copy, auth.canonical_request(copy)), copy)
    return signature
