"""``pipeline templates check``: every template is read, rendered with sample data, measured, and looked at for danger."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.catalogue.document import CatalogueDocument
from pipeline.catalogue.loader import load_catalogue
from pipeline.catalogue.model import Catalogue, Entry, Stream
from pipeline.catalogue.schemas import violation
from pipeline.config.failover import MAX_SEGMENTS
from pipeline.errors import CatalogueError, TemplateError
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel
from pipeline.templates.context import render_context
from pipeline.templates.layout import DEFAULT_LOCALE
from pipeline.templates.limits import measures, too_large
from pipeline.templates.rendering import ChannelTemplate
from pipeline.templates.safety import unsafe_in
from pipeline.templates.samples import Json, samples
from pipeline.templates.store import TemplateStore

SAMPLE_UNSUBSCRIBE_URL = "https://example.com/u/sample"
SAMPLE_LINKS = {"unsubscribe_url": SAMPLE_UNSUBSCRIBE_URL, "preferences_url": "https://example.com/p/sample"}
SAMPLE_TIME = 1_767_225_600_000


@dataclass
class Report:
    """`problems` are to be mended, one line each: ``file:line: what``; `notes` say what could not be looked at."""

    templates: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rendered: int = 0


def check_templates(root: Path, catalogue_path: Path, *, max_segments: int = MAX_SEGMENTS) -> Report:
    """Look at every template under `root`, as the event types of the catalogue use them. Raises nothing for mistakes.

    `max_segments`: what an SMS may take (``sms.max_segments``).
    """
    report = Report()
    try:
        store = TemplateStore.load(root)
    except CatalogueError as error:
        report.problems = [*error.problems, *_unsafe(_sources(root))]
        return report
    report.templates = sorted(f"{t.name} {t.channel} {t.locale}" for t in store)
    report.problems += _unsafe(_sources(root))
    try:
        catalogue, schemas = load_catalogue(catalogue_path), schemas_of(catalogue_path)
    except CatalogueError as error:
        report.problems += error.problems
        return report
    report.problems += missing_templates(store, catalogue, catalogue_path)
    _render_all(store, catalogue, schemas, report, max_segments)
    return report


def schemas_of(path: Path) -> dict[str, object]:
    """The JSON Schema of each event type's data that has one, by pattern. The catalogue has been checked before."""
    document = CatalogueDocument.model_validate(yaml.safe_load(path.read_text("utf-8")))
    return {
        pattern: yaml.safe_load((path.parent / entry.schema_file).read_text("utf-8"))
        if entry.schema_file
        else entry.json_schema
        for pattern, entry in document.event_types.items()
        if entry.schema_file or entry.json_schema
    }


def missing_templates(store: TemplateStore, catalogue: Catalogue, path: Path) -> list[str]:
    """One line for each event type whose own channels lack a template in the default locale."""
    problems = []
    for pattern, entry in catalogue.entries.items():
        for channel in entry.channels:
            try:
                store.find(template_of(entry, channel), channel, None)
            except TemplateError as error:
                problems.append(f"{path}: {pattern}: {error}")
    return problems


def template_of(entry: Entry, channel: Channel) -> str:
    return entry.templates.get(channel, entry.template)


def sample_context(event_type: str, data: str, locale: str) -> dict[str, object]:
    """What a template is given when it is checked or previewed.

    Raises:
        MalformedRecord: `data` is no JSON object.
    """
    event = NotificationRequested(
        event_id="evt_sample",
        event_type=event_type,
        recipient_id="user_sample",
        channels=[],
        priority=None,
        data=data,
        idempotency_key="sample",
        created_at=SAMPLE_TIME,
    )
    return render_context(event, locale) | SAMPLE_LINKS


def _sources(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in {".txt", ".mjml", ".jinja"})


def _unsafe(paths: Iterator[Path]) -> list[str]:
    problems = []
    for path in paths:
        try:
            source = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # the loader tells it
        found = unsafe_in(source, markup=path.suffix != ".txt")
        problems += [f"{path}:{line}: {what}" for line, what in found]
    return problems


def _render_all(
    store: TemplateStore, catalogue: Catalogue, schemas: Mapping[str, object], report: Report, max_segments: int
) -> None:
    told: set[str] = set()
    for pattern, entry in catalogue.entries.items():
        for data in _samples(pattern, entry, schemas.get(pattern), report):
            for template in _used(store, entry):
                for problem in _problems(template, pattern, entry, data, max_segments):
                    if problem not in told:
                        told.add(problem)
                        report.problems.append(f"{problem} (event type {pattern}, data {json.dumps(data)[:200]})")
                report.rendered += 1


def _samples(pattern: str, entry: Entry, schema: object, report: Report) -> list[Json]:
    right = []
    for sample in samples(schema):
        wrong = violation(entry.schema, sample) if entry.schema else None
        if wrong is None:
            right.append(sample)
        else:
            report.notes.append(
                f"{pattern}: not rendered, no sample can be made up ({wrong}): add examples to its schema"
            )
    return right


def _used(store: TemplateStore, entry: Entry) -> Iterator[ChannelTemplate]:
    """All locales of the templates that this event type may be rendered with."""
    for channel in Channel:
        if entry.only_channels is not None and channel not in entry.only_channels:
            continue
        try:
            name = store.find(template_of(entry, channel), channel, DEFAULT_LOCALE).name
        except TemplateError:
            continue  # told for the channels of the type's own; others are chosen by hints
        yield from (t for t in store if (t.name, t.channel) == (name, channel))


def _problems(template: ChannelTemplate, pattern: str, entry: Entry, data: Json, max_segments: int) -> Iterator[str]:
    where = next(iter(template.files.values())).path.parent
    try:
        context = sample_context(pattern.replace("*", "sample"), json.dumps(data), template.locale)
        parts = template.render(context)
    except TemplateError as error:
        yield str(error)
        return
    if empty := [name for name in ("subject", "title", "text") if name in parts and not parts[name].strip()]:
        yield f"{where}: {template.channel} renders an empty {empty[0]}"
    if wrong := too_large(template.channel, measures(template.channel, parts), max_segments=max_segments):
        yield f"{where}: {wrong}"
    marketing = entry.category.stream is Stream.MARKETING and template.channel is Channel.EMAIL
    if marketing and SAMPLE_UNSUBSCRIBE_URL not in parts["html"]:
        yield f"{where}: a marketing mail without unsubscribe_url in it; the law wants it to be seen"
