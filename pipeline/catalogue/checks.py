"""What must hold between the parts of a catalogue, beyond the shape of each."""

from collections.abc import Iterator
from difflib import get_close_matches

from pipeline.catalogue.document import CatalogueDocument, CategoryDocument, DigestDocument, TypeDocument
from pipeline.catalogue.model import URGENCY, DigestMode, Stream, WhenUsersAway
from pipeline.catalogue.positions import Path
from pipeline.catalogue.step_checks import step_problems
from pipeline.events.vocabulary import Priority

Problem = tuple[Path, str]

_ALL_WORDS = ("all", "*")
_TRACKING = "tracking"
_IS_TRACKING = f"{_TRACKING!r} in a preference means being tracked; choose another name"
_NEVER_WITHOUT_CONSENT = "marketing, and what requires consent, is never sent on a copy past its time; remove `send`"


def problems(document: CatalogueDocument) -> Iterator[Problem]:
    """Every contradiction, with the path of keys to where it stands."""
    for name, category in document.categories.items():
        if name in _ALL_WORDS:
            yield ("categories", name), f"{name!r} means every category in a preference; choose another name"
        if name == _TRACKING:
            yield ("categories", name), _IS_TRACKING
        if category.when_users_away is WhenUsersAway.SEND and _needs_consent(category):
            yield ("categories", name, "when_users_away"), _NEVER_WITHOUT_CONSENT
    for pattern, entry in document.event_types.items():
        path: Path = ("event_types", pattern)
        yield from ((path, text) for text in _name_problems(pattern, document))
        yield from _entry_problems(path, entry, document)
    yield from _entry_problems(("defaults",), document.defaults, document)


def did_you_mean(word: str, known: list[str]) -> str:
    """``"; did you mean 'x'?"``, or the list of what is known."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are: {', '.join(sorted(known))}"


def _name_problems(pattern: str, document: CatalogueDocument) -> Iterator[str]:
    if pattern in _ALL_WORDS:
        yield f"{pattern!r} cannot be an event type; what holds for types that are not listed goes under `defaults`"
    elif pattern == _TRACKING:
        yield _IS_TRACKING
    elif "*" in pattern.removesuffix(".*"):
        yield "a wildcard is a whole last part: write it like `github.*`"
    if pattern in document.categories:
        yield f"{pattern!r} is also a category, and a preference could not tell which it means; rename one of them"
    if not pattern.removesuffix(".*") or any(c.isspace() for c in pattern):
        yield "an event type is a dotted name without spaces, like `order.shipped`"


def _entry_problems(path: Path, entry: TypeDocument, document: CatalogueDocument) -> Iterator[Problem]:
    category = document.categories.get(entry.category)
    if category is None:
        hint = did_you_mean(entry.category, list(document.categories))
        yield (*path, "category"), f"unknown category {entry.category!r}{hint}"
    elif entry.mandatory and category.stream is Stream.MARKETING:
        yield (*path, "mandatory"), "marketing can always be opted out of; remove `mandatory` or change the category"
    if entry.when_users_away is WhenUsersAway.SEND:
        if category is not None and _needs_consent(category):
            yield (*path, "when_users_away"), _NEVER_WITHOUT_CONSENT
        if not _can_be_critical(entry):
            yield (
                (*path, "when_users_away"),
                "`send` is for critical notifications, and no event of this type can be one",
            )
    if entry.only_channels is not None and (beyond := set(entry.channels) - set(entry.only_channels)):
        yield (*path, "channels"), f"not among `only_channels`: {', '.join(sorted(beyond))}"
    if entry.priority_ceiling and URGENCY[entry.priority] < URGENCY[entry.priority_ceiling]:
        yield (*path, "priority"), f"more urgent than its own `priority_ceiling: {entry.priority_ceiling}`"
    if entry.json_schema is not None and entry.schema_file is not None:
        yield (*path, "schema_file"), "`schema` stands there too; keep one of the two"
    if entry.digest is not None:
        yield from ((((*path, "digest", key)), text) for key, text in _digest_problems(entry.digest, document))
    yield from (((*path, *place), text) for place, text in step_problems(entry))


def _digest_problems(digest: DigestDocument, document: CatalogueDocument) -> Iterator[tuple[str, str]]:
    into = _entry_of(digest.type, document)
    if into is None:
        hint = did_you_mean(digest.type, list(document.event_types))
        yield "type", f"no entry covers event type {digest.type!r}{hint}"
    elif into.digest is not None:
        yield "type", f"{digest.type!r} is itself collected into a digest; give the digest an event type without one"
    elif into.steps:
        yield "type", f"{digest.type!r} has `steps`, but a digest is an event of one channel; use a type without steps"
    if digest.longest is not None and digest.mode is DigestMode.FIXED:
        yield "longest", "a fixed window has one length; remove `longest`, or set `mode: sliding`"
    elif digest.longest is not None and digest.longest < digest.window:
        yield "longest", "shorter than the window; no item could ever prolong it"


def _entry_of(event_type: str, document: CatalogueDocument) -> TypeDocument | None:
    """As `Catalogue.find`."""
    entry, prefix = document.event_types.get(event_type), event_type
    while entry is None and "." in prefix:
        prefix = prefix.rpartition(".")[0]
        entry = document.event_types.get(f"{prefix}.*")
    return entry


def _needs_consent(category: CategoryDocument) -> bool:
    return category.consent == "required" or category.stream is Stream.MARKETING


def _can_be_critical(entry: TypeDocument) -> bool:
    """Events may ask for a priority of their own, up to the ceiling."""
    limited = entry.priority_ceiling not in (None, Priority.CRITICAL)
    return not limited or any(escalation.priority is Priority.CRITICAL for escalation in entry.escalate)
