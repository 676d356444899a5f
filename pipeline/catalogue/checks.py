"""What must hold between the parts of a catalogue, beyond the shape of each."""

from collections.abc import Iterator
from difflib import get_close_matches

from pipeline.catalogue.document import CatalogueDocument, DigestDocument, TypeDocument
from pipeline.catalogue.model import URGENCY, DigestMode, Stream
from pipeline.catalogue.positions import Path

Problem = tuple[Path, str]

_ALL_WORDS = ("all", "*")


def problems(document: CatalogueDocument) -> Iterator[Problem]:
    """Every contradiction, with the path of keys to where it stands."""
    for name in document.categories:
        if name in _ALL_WORDS:
            yield ("categories", name), f"{name!r} means every category in a preference; choose another name"
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
    if entry.only_channels is not None and (beyond := set(entry.channels) - set(entry.only_channels)):
        yield (*path, "channels"), f"not among `only_channels`: {', '.join(sorted(beyond))}"
    if entry.priority_ceiling and URGENCY[entry.priority] < URGENCY[entry.priority_ceiling]:
        yield (*path, "priority"), f"more urgent than its own `priority_ceiling: {entry.priority_ceiling}`"
    if entry.json_schema is not None and entry.schema_file is not None:
        yield (*path, "schema_file"), "`schema` stands there too; keep one of the two"
    if entry.digest is not None:
        yield from ((((*path, "digest", key)), text) for key, text in _digest_problems(entry.digest, document))


def _digest_problems(digest: DigestDocument, document: CatalogueDocument) -> Iterator[tuple[str, str]]:
    into = _entry_of(digest.type, document)
    if into is None:
        hint = did_you_mean(digest.type, list(document.event_types))
        yield "type", f"no entry covers event type {digest.type!r}{hint}"
    elif into.digest is not None:
        yield "type", f"{digest.type!r} is itself collected into a digest; give the digest an event type without one"
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
