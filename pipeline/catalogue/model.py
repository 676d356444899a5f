"""The event catalogue as the router reads it: compiled once, looked up for every event. Times are milliseconds.

`Catalogue.find` answers with an `EventType` for one concrete name, so that everything a decision needs of it (cap
scopes, preference levels) is computed once for each name and not for each event.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

import jsonschema_rs

from pipeline.catalogue.collapse import CollapseKey, lookup
from pipeline.events.vocabulary import Channel, Priority

URGENCY: dict[Priority, int] = {priority: rank for rank, priority in enumerate(Priority)}
"""0 is the most urgent."""

_MOST_NAMES_REMEMBERED = 10_000

T = TypeVar("T")


class Stream(StrEnum):
    """The sending stream: marketing mail goes out from a domain of its own."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class Excess(StrEnum):
    """What becomes of a notification beyond a frequency cap."""

    DROP = "drop"
    DEFER = "defer"


class WhenUsersAway(StrEnum):
    """What becomes of a critical notification whose user is not cached while the users' database is away."""

    WAIT = "wait"
    SEND = "send"
    """A copy past its time will do, if there is one."""


class DigestMode(StrEnum):
    """`fixed`: the window begins with the first item; `sliding`: with the last, up to a longest wait."""

    FIXED = "fixed"
    SLIDING = "sliding"


class Digest(NamedTuple):
    """How notifications of one type become one: those of a user and channel with the same `key`.

    `type` is the event type of what is sent; it has no digest of its own. `window` and `longest` are milliseconds;
    no item waits longer than `longest`. `most_items` are told in full, all are counted. Reaching `flush_at` items ends
    the window (None: it does not).
    """

    type: str
    key: CollapseKey
    mode: DigestMode
    window: int
    longest: int
    most_items: int
    flush_at: int | None


class Sign(StrEnum):
    """What tells that an earlier step was enough. Who clicked has seen it."""

    SEEN = "seen"
    CLICKED = "clicked"


class Step(NamedTuple):
    """One channel of a type that waits for what the channels before it bring about.

    It goes `after` milliseconds after the step before it, unless one of the signs in `unless` came from any earlier
    step; `when_failed`: only if the step before it was not sent.
    """

    channel: Channel
    after: int
    unless: frozenset[Sign]
    when_failed: bool = False


class InDoubt(StrEnum):
    """What becomes of a notification that may or may not have been sent already."""

    RESEND = "resend"
    PARK = "park"
    """To the dead letters: a person decides."""
    DROP = "drop"


class Tracking(StrEnum):
    """Whether opens and clicks of a category's mail are told."""

    ON = "on"
    """Of everybody who has not opted out of it."""
    OFF = "off"
    CONSENT = "consent"
    """Only of those who agreed to it."""


class Dimension(StrEnum):
    """What a frequency cap counts apart."""

    TYPE = "type"
    CATEGORY = "category"
    CHANNEL = "channel"


class Category(NamedTuple):
    """A kind of notification that people opt in to or out of as a whole.

    `in_doubt` and `tracking` None: as its stream has it. `title`, `description` and `consent_text` say on hosted pages
    what it is and what is agreed to, by locale; `consent_version` names that wording.
    """

    name: str
    stream: Stream
    consent_required: bool
    in_doubt: InDoubt | None = None
    tracking: Tracking | None = None
    title: Mapping[str, str] = {}
    description: Mapping[str, str] = {}
    consent_text: Mapping[str, str] = {}
    consent_version: str = ""


class PageTexts(NamedTuple):
    """What the catalogue says about hosted pages: who sends, and texts in place of ours, by locale and name."""

    sender: Mapping[str, str] = {}
    texts: Mapping[str, Mapping[str, str]] = {}


class Cap(NamedTuple):
    """At most `limit` notifications a user in any `window` seconds, counted apart for each value of `scope`.

    It covers what it stands at in the catalogue: one event type, one category, or everything. `name` is unique in
    the catalogue: it names the counters, so that changing a limit keeps what was counted.
    """

    name: str
    limit: int
    window: int
    scope: tuple[Dimension, ...]
    excess: Excess

    def scoped(self, event_type: str, category: str, channel: Channel) -> "ScopedCap":
        values = {Dimension.TYPE: event_type, Dimension.CATEGORY: category, Dimension.CHANNEL: channel.value}
        text = "\x1f".join((self.name, *(f"{dimension}={values[dimension]}" for dimension in self.scope)))
        scope = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return ScopedCap(self.name, f"cap:{self.name}", scope, self.limit, self.window, self.excess is Excess.DEFER)


class ScopedCap(NamedTuple):
    """A cap as it applies to one event type on one channel; `scope` names the counter."""

    name: str
    rule: str
    scope: bytes
    limit: int
    window: int
    defers: bool


class Escalation(NamedTuple):
    """Raises the priority where every field of `when` (a path into the data) has one of its values."""

    when: tuple[tuple[tuple[str, ...], tuple[object, ...]], ...]
    priority: Priority

    def matches(self, data: Mapping[str, object]) -> bool:
        return all(_among(lookup(data, path), values) for path, values in self.when)


def _among(value: object, values: tuple[object, ...]) -> bool:
    """Equality of JSON: `True` is not 1."""
    return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)


class Entry(NamedTuple):
    """One entry of the catalogue: an exact event type, a wildcard, or the defaults.

    `only_channels` None: every channel is allowed. `ttl` is in milliseconds. `sends_when_users_away`: where it is
    critical, a copy of the user past its time will do while the database is away. `steps` are those of the channels that
    wait for the others, in their order.
    """

    pattern: str
    category: Category
    priority: Priority
    priority_ceiling: Priority | None
    escalate: tuple[Escalation, ...]
    channels: tuple[Channel, ...]
    only_channels: frozenset[Channel] | None
    template: str
    templates: Mapping[Channel, str]
    schema: jsonschema_rs.Validator | None
    caps: tuple[Cap, ...]
    ttl: int | None
    collapse_key: CollapseKey | None
    mandatory: bool
    sends_when_users_away: bool = False
    digest: Digest | None = None
    steps: tuple[Step, ...] = ()

    def collapse(self, asked: str | None, data: Mapping[str, object]) -> str | None:
        """The collapse key of an event: its own, else its type's; None: it collapses nothing."""
        if asked or self.collapse_key is None:
            return asked or None
        return self.collapse_key.fill(data) or None


class EventType:
    """A catalogue entry, resolved for one concrete event type."""

    __slots__ = ("caps", "entry", "name", "type_levels")

    def __init__(self, name: str, entry: Entry) -> None:
        category = entry.category.name
        self.name = name
        self.entry = entry
        self.caps: dict[Channel, tuple[ScopedCap, ...]] = {
            channel: tuple(cap.scoped(name, category, channel) for cap in entry.caps) for channel in Channel
        }
        """The caps that cover it: its own, then its category's, then the global ones."""
        self.type_levels: dict[str, int] = {name: 0, category: 1, "*": 2, "all": 2}
        """What a preference row's `notif_type` may say to mean this event; the lower, the more specific."""


class Catalogue:
    """All event types. Immutable but for the names it remembers having resolved."""

    __slots__ = ("_defaults", "_entries", "_resolved", "_unlisted", "categories", "pages", "policy_version")

    def __init__(
        self,
        policy_version: str,
        categories: Mapping[str, Category],
        entries: Mapping[str, Entry],
        defaults: Entry,
        pages: PageTexts | None = None,
    ) -> None:
        self.policy_version = policy_version
        self.categories = categories
        self.pages = pages or PageTexts()
        self._entries = entries
        self._defaults = defaults
        self._resolved: dict[str, EventType | None] = {}
        self._unlisted: dict[str, EventType] = {}

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every entry by its pattern, without the defaults."""
        return self._entries

    def find(self, event_type: str) -> EventType | None:
        """The entry of an event type: the exact name, else the longest wildcard that covers it, else None."""
        try:
            return self._resolved[event_type]
        except KeyError:
            entry = self._match(event_type)
            return _remember(self._resolved, event_type, EventType(event_type, entry) if entry else None)

    def default(self, event_type: str) -> EventType:
        """What the catalogue's `defaults` make of an event type that it does not list."""
        known = self._unlisted.get(event_type)
        return known or _remember(self._unlisted, event_type, EventType(event_type, self._defaults))

    def _match(self, event_type: str) -> Entry | None:
        entry, prefix = self._entries.get(event_type), event_type
        while entry is None and "." in prefix:
            prefix = prefix.rpartition(".")[0]
            entry = self._entries.get(f"{prefix}.*")
        return entry


def _remember(memory: dict[str, T], name: str, value: T) -> T:
    """Bounded: event types come from outside, and nobody promises that there are few."""
    if len(memory) >= _MOST_NAMES_REMEMBERED:
        memory.clear()
    memory[name] = value
    return value
