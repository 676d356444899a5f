"""What comes back from a form, in both encodings that forms have. Pure."""

from collections.abc import Sequence
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MOST_FIELDS = 1_000

Fields = Sequence[tuple[str, str]]


def parse_form(body: bytes, content_type: str) -> Fields:
    """Names and values in order; `content_type` is the whole header, since the boundary is in it.

    Raises:
        ValueError: it is not what it says it is, or has more than `MOST_FIELDS` fields.
    """
    if content_type.lower().startswith(MULTIPART):
        return _parts(body, content_type)
    return parse_qsl(
        body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, separator="&"
    )


def _parts(body: bytes, content_type: str) -> Fields:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise ValueError("the body has no parts")
    parts = list(message.iter_parts())
    if len(parts) > MOST_FIELDS:
        raise ValueError("too many fields")
    return [
        (str(part.get_param("name", "", "content-disposition")), _text(part.get_payload(decode=True))) for part in parts
    ]


def _text(payload: object) -> str:
    return payload.decode("utf-8") if isinstance(payload, bytes) else ""
