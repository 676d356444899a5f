"""``pipeline explain``: why somebody was, or was not, notified."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.config import Settings
from pipeline.errors import PipelineError
from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import DOUBT, DOUBT_TEXT, REASON_TEXT

if TYPE_CHECKING:
    from pipeline.accounts.story import ChannelStory, Story


def explain(
    event_id: Annotated[str, typer.Argument(help="The event's id.")],
    recipient: Annotated[
        str | None, typer.Option(help="The event's recipient id, if known: only a part of the topics is read then.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Tell what was decided about an event, by which rule, on which inputs, and what became of it."""
    from pipeline.accounts.story import read_story
    from pipeline.kafka.names import DECISIONS, INGEST_DLQ

    story = read_story(Settings.load(), event_id, recipient)
    if not story.decisions and not story.statuses:
        raise PipelineError(
            f"no record of event {event_id} in {DECISIONS}: it was never produced, is not routed yet (pipeline doctor "
            f"shows the lag), could not be read (see {INGEST_DLQ}), or is older than the topic keeps"
        )
    typer.echo(story.to_json() if as_json else "\n".join(tell(story)))


def tell(story: "Story") -> Iterator[str]:
    """The story for people, line by line: what it was, the timeline, where each channel stands."""
    about: Decision | DeliveryStatus = story.decisions[0] if story.decisions else story.statuses[0]
    yield f"{about.event_type} for {about.recipient_id} from {about.source or 'an unnamed service'}"
    yield f"event {about.event_id}, idempotency key {about.idempotency_key}, priority {about.priority}"
    yield ""
    entries = [(d.decided_at, 0, line) for d in story.decisions for line in _decided(d)]
    entries += [(s.occurred_at, 1, _happened(s)) for s in story.statuses]
    for at, _, line in sorted(entries, key=lambda entry: entry[:2]):
        yield f"{_instant(at)}  {line}"
    yield ""
    for channel in story.channels:
        yield from _stands(channel)


def _decided(decision: Decision) -> Iterator[str]:
    what = f"{decision.origin}, policy {decision.policy_version}, record {decision.partition}/{decision.offset}"
    if decision.kind == "cancel" or not decision.channels:
        yield f"decided   {decision.kind} without channels ({what})"
    for channel in decision.channels:
        until = f" until {_instant(channel.until)}" if channel.until is not None else ""
        yield f"decided   {channel.channel}: {channel.verdict}{until}, rule {channel.rule} ({what})"


def _happened(status: DeliveryStatus) -> str:
    via = f" by {status.provider}" if status.provider else ""
    attempt = f", try {status.attempt}" if status.attempt > 1 else ""
    doubt = ", in doubt" if status.in_doubt else ""
    text = REASON_TEXT[status.reason]
    if status.in_doubt:
        text = f"{text} {DOUBT_TEXT.get(status.status, DOUBT)}"
    return f"{status.status:<9} {status.channel or 'the event'}{via}{attempt}{doubt}: {text}"


def _stands(channel: "ChannelStory") -> Iterator[str]:
    yield f"{channel.channel or 'the event'}: {channel.state.replace('_', ' ')} ({channel.status}). {channel.text}"
    if channel.doubt:
        yield f"    in doubt: {channel.doubt}"
    yield f"    notification {channel.notification_id}"
    yield from (f"    {sentence}" for sentence in channel.explanation)
    if channel.decision is not None:
        yield from _grounds(channel.decision)


def _grounds(decision: ChannelDecision) -> Iterator[str]:
    yield f"    last decided: {decision.verdict} by rule {decision.rule}. {REASON_TEXT[decision.reason]}"
    if decision.inputs != "{}":
        yield f"    on: {decision.inputs}"


def _instant(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
