"""What a template may read: the event and its data, the user's locale, links to hosted pages. Never an address."""

from datetime import UTC, datetime, timedelta

import msgspec

from pipeline.errors import MalformedRecord
from pipeline.events.records import NotificationRequested

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECODE = msgspec.json.Decoder(dict[str, object]).decode


class EventView(msgspec.Struct, frozen=True, gc=False):
    """``event`` in templates. `created_at` is in UTC."""

    type: str
    id: str
    created_at: datetime


class UserView(msgspec.Struct, frozen=True, gc=False):
    """``user`` in templates."""

    id: str
    locale: str


def render_context(event: NotificationRequested, locale: str) -> dict[str, object]:
    """The variables ``data``, ``event`` and ``user``.

    Raises:
        MalformedRecord: `event.data` is no JSON object, or its time is out of range.
    """
    try:
        data = _DECODE(event.data)
        created_at = _EPOCH + timedelta(milliseconds=event.created_at)
    except (msgspec.DecodeError, OverflowError, RecursionError) as error:
        raise MalformedRecord(f"the event cannot be given to a template: {type(error).__name__}") from error
    view = EventView(event.event_type, event.event_id, created_at)
    return {"data": data, "event": view, "user": UserView(event.recipient_id, locale)}
