"""Mails are built by hand for speed, so the standard library's parser is the judge of every one of them."""

import email
import email.policy
import re
from email.message import EmailMessage

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.channels.mime import MailContent, build_mail, encode_subject, parse_sender
from pipeline.channels.rendering import one_line
from pipeline.testing.mail_checks import read_headers

SENDER = parse_sender("Zoë's Shop <notify@mail.example.com>")
ID = "0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c"
FIXED = (("Message-ID", f"<{ID}@mail.example.com>"), ("X-Notification-ID", ID))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def build(
    *, subject: str = "s", text: str = "t", html: str = "<p>h</p>", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    assert SENDER
    content = MailContent(
        recipient="ada@example.com",
        subject=subject,
        text=text,
        html=html,
        sent_at=1_771_840_800.9,
        headers=FIXED + headers,
    )
    return build_mail(SENDER, content)


def parse(mail: bytes) -> EmailMessage:
    message = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def content(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    assert not part.defects
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def with_crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@settings(deadline=None)
@given(text=TEXT, html=TEXT)
@example(text=".\n..\n.x", html="From me\n--=_alternative--\n" + "x" * 3000)
@example(text="trailing \nspace\t\n =\n", html="a\rb\x00c\x0bd\x85e\u2028f")
@example(text="漢字" * 200, html="é" * 99)
def test_what_was_rendered_is_what_is_read(text: str, html: str) -> None:
    mail = build(text=text, html=html)
    message = parse(mail)
    # base64 ends its body with a line break of its own, quoted-printable has none
    assert content(message, "plain") == with_crlf(text)
    assert content(message, "html") == with_crlf(html)
    assert read_headers(mail)["message-id"] == "<0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c@mail.example.com>"


@given(TEXT)
@example("Bcc: victim@example.com\r\nX-Evil: 1")
@example("a\r\n\r\n<html>")
@example("=?utf-8?B?aGk=?=")
@example("word " * 100)
@example("x" * 2000)
@example("𝄞" * 300)
@example("0 \x1b")
def test_a_subject_is_read_as_one_line_and_adds_no_header(subject: str) -> None:
    message = parse(build(subject=subject))
    # what RFC 2047 leaves open, white space between encoded words, is not what we test
    assert re.sub(r"\s+", " ", str(message["Subject"])).strip() == one_line(subject)
    assert set(message.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "X-Notification-ID",
        "MIME-Version",
        "Content-Type",
    }


@given(TEXT)
def test_subject_lines_are_short_and_ascii(subject: str) -> None:
    assert all(len(line) <= 998 and line.isascii() for line in encode_subject(subject).split("\r\n"))


def test_the_fixed_headers_are_what_readers_and_relays_need() -> None:
    message = parse(build())
    assert str(message["From"]) == "Zoë's Shop <notify@mail.example.com>"
    assert str(message["Date"]) == "Mon, 23 Feb 2026 10:00:00 +0000"
    assert message["X-Notification-ID"] == "0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_sender_without_an_address_is_none() -> None:
    assert parse_sender("Notifications") is None
    assert parse_sender("News <news@@example.com>") is None


def test_a_sender_cannot_carry_a_line_break() -> None:
    sender = parse_sender("Evil\r\nBcc: x@example.com <a@example.com>")
    assert sender is None or "\n" not in sender.header
