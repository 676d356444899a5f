"""What a log line is about, beside what it says: the notification that is in hand, and its trace."""

import logging
from contextvars import ContextVar
from typing import NamedTuple


class About(NamedTuple):
    """Ids only: no address, no content, no recipient."""

    notification_id: str
    event_id: str
    trace_id: str


about: ContextVar[About | None] = ContextVar("about", default=None)
"""Set by whoever takes a notification in hand; tasks and threads that it starts inherit it."""


def add_ids(record: logging.LogRecord) -> bool:
    """A logging filter: gives a record the ids as extra fields, unless it has its own. Lets everything through."""
    if (now := about.get()) is not None:
        for name, value in now._asdict().items():
            if value and name not in record.__dict__:
                setattr(record, name, value)
    return True
