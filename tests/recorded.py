"""Records as each release wrote them, kept as bytes: ``tests/data/records/<Record>/<version>.bin``, and what they say.

After `pipeline schemas release`, ``python -m tests.recorded`` adds the new version's; what is there is never written again.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.events.codec import Codec
from pipeline.events.records import ChannelDecision, Decision, Deferred, DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.releases import Release, read_lock
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict
from pipeline.resources import resource_dir

FOLDER = Path(__file__).parent / "data" / "records"
AT = 1_790_000_000_000
USER = "user_recorded"

Record = NotificationRequested | Dispatch | Deferred | Decision | DeliveryStatus


class Recorded(NamedTuple):
    """One record of one release."""

    name: str
    release: Release

    @property
    def path(self) -> Path:
        return FOLDER / self.name / f"{self.release.version}.bin"

    @property
    def value(self) -> bytes:
        return self.path.read_bytes()

    @property
    def said(self) -> object:
        """What it said, as plain JSON."""
        return msgspec.json.decode(self.path.with_suffix(".json").read_bytes())


def recorded() -> Iterator[Recorded]:
    """Every release that the lock file has."""
    for name, releases in read_lock(resource_dir("avro")).schemas.items():
        yield from (Recorded(name, release) for release in releases)


def decoders(codec: Codec) -> dict[str, Callable[[bytes], Record]]:
    return {
        "NotificationRequested": lambda value: codec.decode_event(value).event,
        "Dispatch": codec.decode_dispatch,
        "Deferred": codec.decode_deferred,
        "Decision": codec.decode_decision,
        "DeliveryStatus": codec.decode_status,
    }


def _event(number: int) -> NotificationRequested:
    return NotificationRequested(
        event_id=f"evt_recorded_{number}",
        event_type="order.shipped",
        recipient_id=USER,
        channels=[Channel.IN_APP],
        priority=Priority.HIGH,
        data='{"order_id":"ORD-1","tracking_url":"https://example.com/track/ORD-1"}',
        idempotency_key=f"recorded-{number}",
        created_at=AT,
        source="logistics",
        locale="en",
        kind=Kind.REQUEST,
    )


def _id(number: int) -> str:
    return f"00000000-0000-5000-8000-{number:012}"


def _decision() -> Decision:
    verdict = ChannelDecision(
        channel=Channel.IN_APP,
        verdict=Verdict.DISPATCH,
        reason=Reason.ALLOWED,
        rule="allow",
        notification_id=_id(4),
        inputs='{"preferences":[]}',
    )
    return Decision(
        event_id="evt_recorded_4",
        idempotency_key="recorded-4",
        recipient_id=USER,
        event_type="order.shipped",
        category="orders",
        source="logistics",
        kind=Kind.REQUEST,
        priority=Priority.HIGH,
        policy_version="1",
        decided_at=AT,
        origin=Origin.INGEST,
        partition=2,
        offset=41,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        channels=[verdict],
    )


def _status() -> DeliveryStatus:
    return DeliveryStatus(
        notification_id=_id(5),
        event_id="evt_recorded_5",
        idempotency_key="recorded-5",
        recipient_id=USER,
        event_type="order.shipped",
        category="orders",
        source="logistics",
        channel=Channel.IN_APP,
        priority=Priority.HIGH,
        status=Status.SENT,
        reason=Reason.ALLOWED,
        rule="allow",
        policy_version="1",
        provider="inbox",
        provider_message_id="1",
        attempt=1,
        in_doubt=False,
        occurred_at=AT,
        created_at=AT,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )


def _dispatch() -> Dispatch:
    return Dispatch(
        notification_id=_id(2),
        channel=Channel.IN_APP,
        priority=Priority.HIGH,
        category="orders",
        stream="transactional",
        template="order_shipped",
        collapse_key=None,
        expires_at=None,
        rule="allow",
        policy_version="1",
        decided_at=AT,
        origin=Origin.INGEST,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        event=_event(2),
    )


def _deferred() -> Deferred:
    return Deferred(
        notification_id=_id(3),
        channel=Channel.IN_APP,
        priority=Priority.HIGH,
        category="orders",
        until=AT,
        reason=Reason.QUIET_HOURS,
        rule="quiet_hours",
        policy_version="1",
        deferred_at=AT,
        stage="router",
        attempts=0,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        event=_event(3),
    )


def write() -> list[Path]:
    """The newest release's record of each, where it is not there yet; returns what was written."""
    codec, written = Codec.open(), []
    today: dict[str, tuple[Record, bytes]] = {
        "NotificationRequested": (_event(1), codec.encode_event(_event(1))),
        "Dispatch": (_dispatch(), codec.encode_dispatch(_dispatch())),
        "Deferred": (_deferred(), codec.encode_deferred(_deferred())),
        "Decision": (_decision(), codec.encode_decision(_decision())),
        "DeliveryStatus": (_status(), codec.encode_status(_status())),
    }
    for name, (record, value) in today.items():
        newest = Recorded(name, read_lock(resource_dir("avro")).schemas[name][-1]).path
        if not newest.exists():
            newest.parent.mkdir(parents=True, exist_ok=True)
            newest.write_bytes(value)
            newest.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
            written.append(newest)
    return written


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write())
