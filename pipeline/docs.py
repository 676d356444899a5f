"""Makes the reference pages anew from the code: the settings, the words of the records, the metrics, the commands.

A page is written by hand around blocks ``<!-- generated: NAME -->`` … ``<!-- end -->``; what stands between is ours.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipeline.cli.reference import cli_reference
from pipeline.config import PREFIX, Settings
from pipeline.config.base import Seconds
from pipeline.events.vocabulary import FEEDBACK, ON_THE_WAY, REASON_TEXT, TERMINAL, WAITING, Status
from pipeline.observability.metrics import Metrics

PAGES = ("configuration.md", "reasons.md", "metrics.md", "cli.md")

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PLAIN_TYPES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    SecretStr: "secret",
    Path: "path",
}
_STATUS_GROUPS = {"terminal": TERMINAL, "waiting": WAITING, "on the way": ON_THE_WAY, "after `sent`": FEEDBACK}


def rebuild(folder: Path) -> list[str]:
    """Write the pages of `folder` that are not current; returns their names."""
    changed = []
    for name in PAGES:
        path = folder / name
        page = path.read_text(encoding="utf-8")
        if (made := render(page)) != page:
            path.write_text(made, encoding="utf-8")
            changed.append(name)
    return changed


def render(page: str) -> str:
    """`page` with every generated block made anew."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{_BLOCKS[match[2]]()}\n\n{match[3]}", page)


def settings_reference() -> str:
    """One headed table for each section of the settings."""
    return "\n\n".join(_sections(Settings, ()))


def _sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """The tables below `path`, depth first; a section that holds only sections has none of its own."""
    rows = [_setting(model, path, name, field) for name, field in model.model_fields.items() if _section(field) is None]
    if rows:
        title = f"### `{'.'.join(path)}`\n\n{(model.__doc__ or '').strip()}\n\n"
        yield title + _table(("Setting", "Type", "Default", "What it says"), rows)
    for name, field in model.model_fields.items():
        if section := _section(field):
            yield from _sections(section, (*path, name))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _setting(model: type[BaseModel], path: tuple[str, ...], name: str, field: FieldInfo) -> tuple[str, ...]:
    variable = PREFIX + "__".join((*path, name)).upper()
    kind = "seconds" if model.__annotations__[name] == Seconds else _type(field.annotation)
    return f"`{name}`<br>`{variable}`", kind, _default(field), field.description or ""


def _type(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is dict:
        kind = get_args(annotation)[1]
        return "map of sections" if isinstance(kind, type) and issubclass(kind, BaseModel) else f"map of {_type(kind)}s"
    if get_origin(annotation) is tuple:
        return f"list of {_type(get_args(annotation)[0])}s"
    optional = [kind for kind in get_args(annotation) if kind is not type(None)]
    if optional:
        return f"{_type(optional[0])}, or none"
    assert isinstance(annotation, type)
    if issubclass(annotation, BaseModel):
        return annotation.__name__.removesuffix("Settings").lower()
    return _PLAIN_TYPES[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value in ("", {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{getattr(entry, 'name', entry)}`" for entry in value)
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def statuses() -> str:
    """The statuses by what the accounts make of them, each group in the order of the code."""
    return _table(
        ("Group", "Statuses"),
        [
            (group, _words(status for status in Status if status in members))
            for group, members in _STATUS_GROUPS.items()
        ],
    )


def reasons() -> str:
    """Every reason and what a support agent can say."""
    return _table(("Reason", "In words"), [(f"`{reason}`", text) for reason, text in REASON_TEXT.items()])


def metrics() -> str:
    """Every metric with the name that Prometheus sees."""
    wrappers = [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    return _table(("Metric", "Type", "Labels", "What"), [_metric(metric) for metric in wrappers])


def _metric(metric: MetricWrapperBase) -> tuple[str, ...]:
    family = next(iter(metric.describe()))
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = metric._labelnames  # noqa: SLF001 - the library tells the labels of a metric without values nowhere else
    return f"`{name}`", family.type, _words(labels) or "–", family.documentation


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: tuple[str, ...], rows: Collection[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


_BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings_reference,
    "statuses": statuses,
    "reasons": reasons,
    "metrics": metrics,
    "cli": cli_reference,
}
