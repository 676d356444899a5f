"""The header lines that every mail has beside its addresses, subject and date. Pure."""

import re

from pipeline.catalogue.model import Stream
from pipeline.channels.rendering import one_line

Headers = tuple[tuple[str, str], ...]

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9._-]+")


def mail_headers(
    *, notification_id: str, sender_domain: str, category: str, stream: str, feedback_sender: str, unsubscribe: str
) -> Headers:
    """All of them, ASCII, each on one line.

    The Message-ID is made of the notification's id, so that a repeated mail is recognisably the same one. `unsubscribe`
    is a link, or empty for none.
    """
    name = word(notification_id)
    common = (
        ("Message-ID", f"<{name}@{sender_domain}>"),
        ("X-Notification-ID", name),
        ("Feedback-ID", feedback_id(category, stream, feedback_sender)),
    )
    if stream == Stream.MARKETING:
        return common + _unsubscribe(unsubscribe, one_click=True)
    return (*common, *_unsubscribe(unsubscribe, one_click=False), ("Auto-Submitted", "auto-generated"))


def feedback_id(category: str, stream: str, sender: str) -> str:
    """By what mailbox providers count complaints, and by whom: https://support.google.com/mail/answer/6254652

    Up to three fields that are the same for many mails, then one that stays the same for good.
    """
    return ":".join(map(word, (category, stream, sender)))


def word(text: str) -> str:
    """`text` in letters, digits, ``.``, ``_`` and ``-`` alone, so that it can end no field and no line."""
    return text if text and text.isascii() and not _NOT_A_WORD.search(text) else _NOT_A_WORD.sub("-", one_line(text))


def _unsubscribe(link: str, *, one_click: bool) -> Headers:
    """RFC 2369, and for marketing RFC 8058, which Gmail and Yahoo demand of bulk senders."""
    if not link:
        return ()
    header = ("List-Unsubscribe", f"<{link}>")
    return (header, ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")) if one_click else (header,)
