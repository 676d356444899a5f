"""What became of an event. Read from the topics for now; the port lets a store answer instead."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from pipeline.accounts.story import ChannelStory, Story, read_story
from pipeline.config import Settings
from pipeline.events.codec import Codec
from pipeline.events.records import ChannelDecision
from pipeline.events.vocabulary import REASON_TEXT
from pipeline.gateway.problems import unavailable

READERS = 2
"""Stories read at once: each reads a part of two topics."""


class Stories(Protocol):
    """Where the story of an event is found."""

    async def find(self, event_id: str, recipient_id: str | None) -> Story:
        """The story, empty where nothing is known. `recipient_id`, where it is known, makes it quicker.

        Raises:
            Refused: 503, it cannot be told in time.
            Unavailable: what it is read from is away.
        """


class TopicStories:
    """Reads the decisions and the status topic in a thread, at most `READERS` at once and `timeout` seconds each.

    A thread that takes longer goes on until it has read to the end, and holds its place so long.
    """

    def __init__(self, settings: Settings, codec: Codec, timeout: float) -> None:
        self._settings = settings
        self._codec = codec
        self._timeout = timeout
        self._places = asyncio.Semaphore(READERS)

    async def find(self, event_id: str, recipient_id: str | None) -> Story:
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
                reading = asyncio.ensure_future(
                    asyncio.to_thread(read_story, self._settings, event_id, recipient_id, self._codec)
                )
                reading.add_done_callback(self._release)
                return await asyncio.shield(reading)
        except TimeoutError:
            raise unavailable("Reading the event's history takes too long.", retry_after=5) from None

    def _release(self, reading: "asyncio.Future[Story]") -> None:
        self._places.release()
        if not reading.cancelled():
            reading.exception()


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `what` is accepted, decided, or a word of the delivery statuses."""

    at: datetime
    what: str
    channel: str | None = None
    verdict: str | None = None
    reason: str | None = None
    text: str = ""
    rule: str | None = None
    provider: str | None = None
    attempt: int | None = None
    in_doubt: bool = False


class ChannelOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Where one channel stands. `channel` null: the event never got as far as channels.

    `state` is terminal, waiting or in_flight, `status` the verdict or status that put it there. `rule` and `inputs` are
    those of the last decision, as is `policy_version`. `explanation` tells all of it in sentences.
    """

    channel: str | None
    notification_id: str
    state: str
    status: str
    reason: str
    text: str
    rule: str | None = None
    inputs: dict[str, Any] = {}
    policy_version: str | None = None
    explanation: list[str] = []


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event: what happened when, where each channel stands, and why, in words."""

    event_id: str
    event_type: str
    recipient_id: str
    idempotency_key: str
    source: str
    timeline: list[TimelineEntry]
    channels: list[ChannelOutcome]
    explanation: list[str]


def timeline(story: Story) -> list[TimelineEntry]:
    return sorted([*_decided(story), *_happened(story)], key=lambda entry: entry.at)


def outcomes(story: Story) -> list[ChannelOutcome]:
    return [_outcome(channel) for channel in story.channels]


def explanation(story: Story) -> list[str]:
    """One sentence or two for each channel, as a support agent would say it."""
    if not story.channels:
        return ["It was accepted and is not decided yet."]
    return [
        f"{channel.channel or 'the event'}: {channel.state.replace('_', ' ')} ({channel.status}). {channel.text}".rstrip()
        for channel in story.channels
    ]


def _decided(story: Story) -> Iterator[TimelineEntry]:
    for decision in story.decisions:
        at = instant(decision.decided_at)
        if not decision.channels:
            yield TimelineEntry(at=at, what="decided", verdict=decision.kind, text="Decided as a whole.")
        for channel in decision.channels:
            yield TimelineEntry(
                at=at,
                what="decided",
                channel=channel.channel,
                verdict=channel.verdict,
                reason=channel.reason,
                text=REASON_TEXT[channel.reason],
                rule=channel.rule,
            )


def _happened(story: Story) -> Iterator[TimelineEntry]:
    for status in story.statuses:
        yield TimelineEntry(
            at=instant(status.occurred_at),
            what=status.status,
            channel=status.channel,
            reason=status.reason,
            text=REASON_TEXT[status.reason],
            rule=status.rule or None,
            provider=status.provider or None,
            attempt=status.attempt,
            in_doubt=status.in_doubt,
        )


def _outcome(channel: ChannelStory) -> ChannelOutcome:
    decision: ChannelDecision | None = channel.decision
    return ChannelOutcome(
        channel=channel.channel or None,
        notification_id=channel.notification_id,
        state=channel.state,
        status=channel.status,
        reason=channel.reason,
        text=channel.text,
        rule=decision.rule if decision else None,
        inputs=msgspec.json.decode(decision.inputs, type=dict[str, Any]) if decision else {},
        policy_version=channel.policy_version or None,
        explanation=channel.explanation,
    )


def instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
