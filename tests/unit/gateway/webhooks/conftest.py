"""Requests as providers make them, and as somebody else would have changed them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pipeline.gateway.webhooks.base import Posted
from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks import Signed

URL = "https://notify.example.com/v1/webhooks/provider"


def posted(signed: Signed) -> Posted:
    headers = CIMultiDictProxy(CIMultiDict(signed.headers))
    query = dict(parse_qsl(urlsplit(signed.url).query))
    return Posted(signed.url, query, headers, headers["Content-Type"].partition(";")[0], signed.body)


def receipt(kind: ReceiptKind = ReceiptKind.DELIVERED) -> Receipt:
    return Receipt(kind, "b7bd4c09-7f6f-5f58-9ac1-4ba0f0f0f0aa", "ada@example.com", "message-1", "sealed")


def changed(body: bytes, *, step: int = 1) -> Iterator[bytes]:
    """`body` with one bit of one byte turned over, at every `step`th place; with a byte more, and a byte less."""
    for at in range(0, len(body), step):
        yield body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    yield body + b" "
    yield body[:-1]


def with_headers(signed: Signed, **headers: str) -> Signed:
    """`signed` with other headers; a name has ``_`` for ``-``."""
    given: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    return signed._replace(headers={**signed.headers, **given})


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of the providers' published contracts, with webhooks that they have really signed."""
    folder = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).parents[5] / "shared" / "contracts"))
    if not folder.is_dir():
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{folder} is missing: set CONTRACTS_DIR")
        pytest.skip(f"{folder} is missing: set CONTRACTS_DIR")
    return folder
