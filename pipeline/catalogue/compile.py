"""From the checked document to the model: caps named, schemas compiled, the policy version computed."""

import hashlib
import json
from pathlib import Path

import jsonschema_rs
import yaml

from pipeline.catalogue.checks import Problem
from pipeline.catalogue.collapse import CollapseKey
from pipeline.catalogue.document import (
    CapDocument,
    CatalogueDocument,
    CategoryDocument,
    DigestDocument,
    EscalationDocument,
    StepDocument,
    TypeDocument,
)
from pipeline.catalogue.model import (
    Cap,
    Catalogue,
    Category,
    Digest,
    DigestMode,
    Dimension,
    Entry,
    Escalation,
    PageTexts,
    Step,
    WhenUsersAway,
)
from pipeline.catalogue.positions import Path as Place
from pipeline.catalogue.schemas import SchemaProblem, compile_schema

_EVERYTHING = "all"


class Compiler:
    """Compiles one document, whose file is in `folder`; what does not compile is collected in `problems`."""

    def __init__(self, document: CatalogueDocument, folder: Path) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._folder = folder
        self._schema_files: dict[str, object] = {}
        self._cap_names: set[str] = set()
        self._categories = {name: _category(name, category) for name, category in document.categories.items()}
        self._global_caps = self._caps(("caps",), _EVERYTHING, document.caps, [])
        self._category_caps = {
            name: self._caps(("categories", name, "caps"), name, category.caps, [Dimension.CATEGORY])
            for name, category in document.categories.items()
        }

    def catalogue(self, raw: object) -> Catalogue:
        """The compiled catalogue, to be used only where `problems` is empty then. `raw`: the file as plain values."""
        entries = {
            pattern: self._entry(("event_types", pattern), pattern, entry)
            for pattern, entry in self._document.event_types.items()
        }
        defaults = self._entry(("defaults",), "defaults", self._document.defaults)
        pages = PageTexts(self._document.pages.sender, self._document.pages.texts)
        return Catalogue(self._policy_version(raw), self._categories, entries, defaults, pages)

    def _entry(self, place: Place, pattern: str, entry: TypeDocument) -> Entry:
        own = self._caps((*place, "caps"), pattern, entry.caps, [Dimension.TYPE])
        return Entry(
            pattern=pattern,
            category=self._categories[entry.category],
            priority=entry.priority,
            priority_ceiling=entry.priority_ceiling,
            escalate=tuple(_escalation(e) for e in entry.escalate),
            channels=tuple(dict.fromkeys(entry.channels)),
            only_channels=None if entry.only_channels is None else frozenset(entry.only_channels),
            template=entry.template,
            templates=entry.templates,
            schema=self._schema(place, entry),
            caps=own + self._category_caps[entry.category] + self._global_caps,
            ttl=None if entry.ttl is None else entry.ttl * 1000,
            collapse_key=None if entry.collapse_key is None else CollapseKey(entry.collapse_key),
            mandatory=entry.mandatory,
            sends_when_users_away=self._sends_when_users_away(entry),
            digest=None if entry.digest is None else _digest(entry.digest),
            steps=tuple(_step(step) for step in entry.steps),
        )

    def _sends_when_users_away(self, entry: TypeDocument) -> bool:
        category = self._document.categories[entry.category]
        return (entry.when_users_away or category.when_users_away) is WhenUsersAway.SEND

    def _caps(self, place: Place, owner: str, caps: list[CapDocument], scope: list[Dimension]) -> tuple[Cap, ...]:
        return tuple(self._cap((*place, index), owner, cap, scope) for index, cap in enumerate(caps))

    def _cap(self, place: Place, owner: str, cap: CapDocument, default_scope: list[Dimension]) -> Cap:
        scope = tuple(sorted(set(default_scope if cap.scope is None else cap.scope)))
        name = cap.name or f"{owner}:{'+'.join(scope) or 'user'}"
        if name in self._cap_names:
            self.problems.append((place, f"a second cap {name!r}; give each a `name` of its own"))
        self._cap_names.add(name)
        return Cap(name, cap.limit, cap.window, scope, cap.excess)

    def _schema(self, place: Place, entry: TypeDocument) -> jsonschema_rs.Validator | None:
        if entry.schema_file is not None:
            return self._compiled((*place, "schema_file"), self._read(place, entry.schema_file))
        return None if entry.json_schema is None else self._compiled((*place, "schema"), entry.json_schema)

    def _read(self, place: Place, file: Path) -> object:
        try:
            schema: object = yaml.safe_load((self._folder / file).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            self.problems.append(((*place, "schema_file"), f"{file} cannot be read: {error}"))
            return {}
        self._schema_files[str(file)] = schema
        return schema

    def _compiled(self, place: Place, schema: object) -> jsonschema_rs.Validator | None:
        try:
            return compile_schema(schema)
        except SchemaProblem as problem:
            self.problems.append(((*place, *problem.path), f"no valid JSON Schema: {problem}"))
            return None

    def _policy_version(self, raw: object) -> str:
        """The catalogue's own version and a hash of what it says: comments and order change nothing."""
        text = json.dumps([raw, self._schema_files], sort_keys=True, default=str, skipkeys=True)
        return f"{self._document.version}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"


LONGEST_WINDOWS = 10
"""A sliding digest that names no longest wait waits for at most so many windows."""


def _digest(document: DigestDocument) -> Digest:
    windows = LONGEST_WINDOWS if document.mode is DigestMode.SLIDING else 1
    longest = document.longest or document.window * windows
    return Digest(
        type=document.type,
        key=CollapseKey(document.key),
        mode=document.mode,
        window=document.window * 1000,
        longest=longest * 1000,
        most_items=document.most_items,
        flush_at=document.flush_at,
    )


def _category(name: str, document: CategoryDocument) -> Category:
    return Category(
        name=name,
        stream=document.stream,
        consent_required=document.consent == "required",
        in_doubt=document.in_doubt,
        tracking=document.tracking,
        title=document.title,
        description=document.description,
        consent_text=document.consent_text,
        consent_version=document.consent_version,
    )


def _step(document: StepDocument) -> Step:
    return Step(document.channel, document.after * 1000, frozenset(document.unless), document.when is not None)


def _escalation(document: EscalationDocument) -> Escalation:
    when = tuple((tuple(path.split(".")), tuple(values)) for path, values in document.when.items())
    return Escalation(when, document.priority)
