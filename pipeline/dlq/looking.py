"""Looks up a few dead letters with everything that is known of them. Blocks."""

from pipeline.dlq.letters import Content, DeadLetter, event_of, units_of
from pipeline.dlq.reading import MARGIN_MS, Desk
from pipeline.dlq.selection import Selection
from pipeline.dlq.showing import Document, document
from pipeline.errors import MalformedRecord
from pipeline.events.canonical import CanonicalJson
from pipeline.events.records import DeliveryStatus
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import read_topics

Found = tuple[DeadLetter, Content]


def look(desk: Desk, selection: Selection, limit: int, *, all_of_them: bool) -> list[Document]:
    """The first `limit` of the selection, in the order of their topics.

    Raises:
        Unavailable: Kafka or a topic is not there.
    """
    found: list[Found] = []
    for letter, content in desk.chosen(selection, all_of_them=all_of_them):
        found.append((letter, content or desk.content(letter)))
        if len(found) == limit:
            break
    statuses = _statuses(desk, found)
    canonical = CanonicalJson(desk.codec.book.schema_of("NotificationRequested"))
    return [
        document(letter, content, canonical, handled=letter.position in desk.handled, statuses=statuses)
        for letter, content in found
    ]


def _statuses(desk: Desk, found: list[Found]) -> list[DeliveryStatus]:
    """What the status topic says of them, from the first of their events on."""
    units = {unit.notification_id for letter, content in found for unit in units_of(letter, content)}
    if not units:
        return []
    events = [event for _, content in found if (event := event_of(content))]
    start = max(0, min(event.created_at for event in events) - MARGIN_MS)
    keys = {letter.key for letter, _ in found}
    told: dict[tuple[str, str, int], DeliveryStatus] = {}
    for batch in read_topics(desk.kafka, [DELIVERY_STATUS], start=start, key=keys.pop() if len(keys) == 1 else None):
        for message in batch:
            try:
                status = desk.codec.decode_status(message.value())
            except MalformedRecord:
                continue
            if status.notification_id in units:
                told.setdefault((status.notification_id, status.status, status.occurred_at), status)
    return list(told.values())
