"""Which series a PromQL expression reads, and which ones there are: so that no panel and no alert asks for another."""

import re
from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from pipeline.observability.metrics import Metrics

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()(?:\s*\{([^}]*)\})?")
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"})
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported() -> dict[str, frozenset[str]]:
    """The name of every series that the services export, and its labels."""
    return {name: labels for metric in vars(Metrics()).values() for name, labels in _series(metric)}


def _series(metric: object) -> Iterator[tuple[str, frozenset[str]]]:
    if not isinstance(metric, MetricWrapperBase):
        return
    family = next(iter(metric.describe()))
    labels = frozenset(metric._labelnames)  # noqa: SLF001 - the library tells them nowhere else
    for suffix in _SUFFIXES[family.type]:
        yield family.name + suffix, labels | {"le"} if suffix == "_bucket" else labels


def read(expression: str) -> dict[str, set[str]]:
    """The names of the series that `expression` reads, and the labels by which it selects them."""
    bare = _GROUPING.sub(" ", _RANGE.sub(" ", _STRING.sub('""', expression)))
    found: dict[str, set[str]] = {}
    for name, selector in _NAME.findall(bare):
        if name not in _WORDS:
            found.setdefault(name, set()).update(_LABEL.findall(selector))
    return found


def grouped(expression: str) -> set[str]:
    """The labels by which `expression` adds up or matches."""
    lists = _GROUPING.findall(_STRING.sub('""', expression))
    return {label.strip() for names in lists for label in names.split(",") if label.strip()}
