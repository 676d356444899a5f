"""What ``POST /v1/events`` answers with."""

from collections.abc import Mapping, Sequence

import msgspec

from pipeline.gateway.events.accept import Accepted
from pipeline.gateway.problems import Fault, ProblemDetails, Refused

ACCEPTED = 202


class AcceptedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka has acknowledged the event."""

    event_id: str
    idempotency_key: str


class BatchItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event of a list: `status` as a request with this event alone would have got."""

    index: int
    status: int
    event_id: str | None = None
    idempotency_key: str | None = None
    replayed: bool = False
    problem: ProblemDetails | None = None


class AcceptedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """At least one event of a list was accepted; `items` says which, in the order of the request."""

    accepted: int
    rejected: int
    items: list[BatchItem]


def batch_item(index: int, key: str | None, outcome: Accepted | Refused) -> BatchItem:
    if isinstance(outcome, Accepted):
        return BatchItem(
            index=index,
            status=ACCEPTED,
            event_id=outcome.event_id,
            idempotency_key=key,
            replayed=outcome.replayed,
        )
    return BatchItem(index=index, status=outcome.status, idempotency_key=key, problem=outcome.document())


def batch_answer(items: Sequence[BatchItem], outcomes: Mapping[int, Accepted | Refused]) -> AcceptedBatch:
    """The answer for a list.

    Raises:
        Refused: nothing was accepted: with the items' status where they all have one, else 400.
    """
    accepted = sum(item.status == ACCEPTED for item in items)
    if not accepted:
        raise _nothing_accepted(items, outcomes)
    return AcceptedBatch(accepted=accepted, rejected=len(items) - accepted, items=list(items))


def _nothing_accepted(items: Sequence[BatchItem], outcomes: Mapping[int, Accepted | Refused]) -> Refused:
    statuses = {item.status for item in items}
    refused = [outcome for outcome in outcomes.values() if isinstance(outcome, Refused)]
    headers = {name: value for outcome in refused for name, value in outcome.headers.items()}
    answer = Refused(statuses.pop() if len(statuses) == 1 else 400, "No event of the list was accepted.", (), headers)
    for item in items:
        problem = item.problem
        assert problem
        faults = problem.errors or [Fault("#", problem.detail)]
        answer.faults += [Fault(f"#/{item.index}{fault.pointer[1:]}", fault.detail) for fault in faults]
    return answer
