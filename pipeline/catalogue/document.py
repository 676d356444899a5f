"""The catalogue file's shape: what may stand in the YAML. Meanings are in `pipeline.catalogue.model`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.catalogue import durations
from pipeline.catalogue.collapse import CollapseKey
from pipeline.catalogue.model import DigestMode, Dimension, Excess, InDoubt, Sign, Stream, Tracking, WhenUsersAway
from pipeline.events.vocabulary import Channel, Priority

_SLUG = r"^[a-z0-9][a-z0-9_-]*$"


def _seconds(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("not a duration; write a whole number and a unit: 90s, 5m, 24h or 7d")
    return durations.seconds(value)


def _text(value: object) -> str:
    """YAML reads an unquoted 2 or 2025-01-31 as something other than the text that was meant."""
    return str(value)


def _switch(value: object) -> object:
    """YAML reads an unquoted `on` and `off` as true and false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _compiles(text: str) -> str:
    CollapseKey(text)
    return text


Slug = Annotated[str, Field(pattern=_SLUG)]
TemplateName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*(@[0-9]+)?$")]
"""With ``@2``: that version and no other."""

Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
LocalisedText = dict[Locale, str]
"""One text by locale: ``{en: Orders, de: Bestellungen}``."""

Duration = Annotated[int, BeforeValidator(_seconds)]
Scalar = bool | int | float | str | None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CapDocument(_Document):
    name: Slug | None = None
    limit: int = Field(ge=1)
    window: Duration
    scope: list[Dimension] | None = None
    excess: Excess = Excess.DROP


class EscalationDocument(_Document):
    when: dict[str, list[Scalar]] = Field(min_length=1)
    priority: Priority


class DigestDocument(_Document):
    type: str
    window: Duration
    mode: DigestMode = DigestMode.FIXED
    key: Annotated[str, AfterValidator(_compiles)] = ""
    longest: Duration | None = None
    most_items: int = Field(20, ge=1, le=500)
    flush_at: int | None = Field(None, ge=2)


class StepDocument(_Document):
    channel: Channel
    after: Duration
    unless: Annotated[list[Sign], BeforeValidator(_one_or_more)] = [Sign.SEEN]
    when: Literal["failed"] | None = None


class CategoryDocument(_Document):
    stream: Stream = Stream.TRANSACTIONAL
    consent: Literal["required", "implied"] = "implied"
    when_users_away: WhenUsersAway = WhenUsersAway.WAIT
    in_doubt: InDoubt | None = None
    tracking: Annotated[Tracking | None, BeforeValidator(_switch)] = None
    title: LocalisedText = {}
    description: LocalisedText = {}
    consent_text: LocalisedText = {}
    consent_version: Annotated[str, BeforeValidator(_text), Field(max_length=40)] = ""
    caps: list[CapDocument] = []


class TypeDocument(_Document):
    category: str
    priority: Priority = Priority.NORMAL
    priority_ceiling: Priority | None = None
    escalate: list[EscalationDocument] = []
    channels: list[Channel] = []
    only_channels: list[Channel] | None = None
    template: TemplateName = "generic"
    templates: dict[Channel, TemplateName] = {}
    json_schema: dict[str, object] | None = Field(None, alias="schema")
    schema_file: Path | None = None
    caps: list[CapDocument] = []
    ttl: Duration | None = None
    collapse_key: Annotated[str, AfterValidator(_compiles)] | None = None
    mandatory: bool = False
    when_users_away: WhenUsersAway | None = None
    digest: DigestDocument | None = None
    steps: list[StepDocument] = []


class PagesDocument(_Document):
    sender: LocalisedText = {}
    texts: dict[Locale, dict[str, str]] = {}


class CatalogueDocument(_Document):
    version: Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=40)]
    defaults: TypeDocument
    categories: dict[Slug, CategoryDocument] = Field(min_length=1)
    event_types: dict[str, TypeDocument] = {}
    caps: list[CapDocument] = []
    pages: PagesDocument = PagesDocument()
