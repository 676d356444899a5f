"""Which dead letters a command is about. Pure."""

from dataclasses import dataclass

from pipeline.dlq.letters import Content, DeadLetter, event_of, units_of
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import DLQ_TOPICS, channel_dlq, channel_slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Those that every condition fits; a condition that is empty fits all. Times in ms, from `since` up to `until`."""

    topics: tuple[str, ...] = DLQ_TOPICS
    partition: int | None = None
    offsets: frozenset[int] = frozenset()
    reasons: frozenset[str] = frozenset()
    event_id: str | None = None
    notification_id: str | None = None
    recipient_id: str | None = None
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        if self.offsets and self.partition is None:
            raise ConfigurationError("an offset is one of a partition: give --partition with --offset")
        if self.partition is not None and len(self.topics) != 1:
            raise ConfigurationError("a partition is one of a topic: give --topic with --partition")

    @property
    def narrow(self) -> bool:
        """Whether it leaves anything out of its topics."""
        return any(
            condition not in (None, frozenset())
            for condition in (
                self.partition,
                self.reasons,
                self.event_id,
                self.notification_id,
                self.recipient_id,
                self.since,
                self.until,
            )
        )

    @property
    def reads_content(self) -> bool:
        """Whether it must look into the records."""
        return self.event_id is not None or self.notification_id is not None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether all conditions hold but those on the content."""
        return (
            letter.topic in self.topics
            and self.partition in (None, letter.partition)
            and (not self.offsets or letter.offset in self.offsets)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.recipient_id is None or letter.key == self.recipient_id.encode())
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )

    def fits_content(self, letter: DeadLetter, content: Content) -> bool:
        event = event_of(content)
        return (self.event_id is None or (event is not None and event.event_id == self.event_id)) and (
            self.notification_id is None
            or any(unit.notification_id == self.notification_id for unit in units_of(letter, content))
        )

    def __str__(self) -> str:
        """As the audit trail tells it."""
        named = {
            "partition": self.partition,
            "offset": ",".join(map(str, sorted(self.offsets))),
            "reason": ",".join(sorted(self.reasons)),
            "event": self.event_id,
            "notification": self.notification_id,
            "recipient": self.recipient_id,
            "since": self.since,
            "until": self.until,
        }
        topics = "all" if self.topics == DLQ_TOPICS else ",".join(self.topics)
        return " ".join([topics, *(f"{name}={value}" for name, value in named.items() if value not in (None, ""))])


def topic_named(name: str) -> str:
    """The dead-letter topic that is meant by its own name, or by ``ingest`` or a channel.

    Raises:
        ConfigurationError: there is none of that name.
    """
    short = {"ingest": DLQ_TOPICS[0]}
    for channel in Channel:
        short |= {channel.value: channel_dlq(channel), channel_slug(channel): channel_dlq(channel)}
    topic = short.get(name, name)
    if topic not in DLQ_TOPICS:
        raise ConfigurationError(f"{name!r} is no dead-letter topic: write one of {', '.join(short)}")
    return topic
