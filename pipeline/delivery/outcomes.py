"""The records that tell of a delivery: what is known of a notification and how it ended, put together. Pure.

The same end gives the same records, byte for byte, however often they are written.
"""

from pipeline.delivery.entry import Final
from pipeline.delivery.failures import Failure
from pipeline.events.records import Deferred, DeliveryStatus, Dispatch
from pipeline.events.vocabulary import Reason, Status

STAGE = "delivery"


def final_status(dispatch: Dispatch, final: Final) -> DeliveryStatus:
    return _status(
        dispatch,
        final.status,
        final.reason,
        provider=final.provider,
        message_id=final.message_id,
        attempt=final.attempt,
        in_doubt=final.in_doubt,
        occurred_at=final.occurred_at,
    )


def retrying_status(dispatch: Dispatch, failure: Failure, now: int) -> DeliveryStatus:
    return _status(
        dispatch,
        Status.RETRYING,
        failure.reason,
        provider=failure.provider,
        message_id="",
        attempt=failure.attempt,
        in_doubt=failure.in_doubt,
        occurred_at=now,
    )


def deferred(dispatch: Dispatch, final: Final) -> Deferred:
    """The record that brings it back: through the router, once `final.until` has come."""
    assert final.until is not None
    return Deferred(
        notification_id=dispatch.notification_id,
        channel=dispatch.channel,
        priority=dispatch.priority,
        category=dispatch.category,
        until=final.until,
        reason=final.reason,
        rule=dispatch.rule,
        policy_version=dispatch.policy_version,
        deferred_at=max(final.occurred_at, dispatch.decided_at),
        stage=STAGE,
        attempts=final.attempt,
        trace_id=dispatch.trace_id,
        event=dispatch.event,
    )


def _status(
    dispatch: Dispatch,
    status: Status,
    reason: Reason,
    *,
    provider: str,
    message_id: str,
    attempt: int,
    in_doubt: bool,
    occurred_at: int,
) -> DeliveryStatus:
    event = dispatch.event
    return DeliveryStatus(
        notification_id=dispatch.notification_id,
        event_id=event.event_id,
        idempotency_key=event.idempotency_key,
        recipient_id=event.recipient_id,
        event_type=event.event_type,
        category=dispatch.category,
        source=event.source,
        channel=dispatch.channel,
        priority=dispatch.priority,
        status=status,
        reason=reason,
        rule=dispatch.rule,
        policy_version=dispatch.policy_version,
        provider=provider,
        provider_message_id=message_id,
        attempt=attempt,
        in_doubt=in_doubt,
        occurred_at=occurred_at,
        created_at=event.created_at,
        trace_id=dispatch.trace_id,
    )
