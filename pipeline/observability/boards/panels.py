"""The pieces that a Grafana dashboard is made of, and how they are laid out.

The JSON model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION = 39
WIDTH = 24
RATE = "$__rate_interval"
"""Grafana's own range for `rate`: long enough for four scrapes."""

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Unit = Literal["short", "reqps", "s", "percentunit", "Bps", "dateTimeFromNow", "d"]


class Query(NamedTuple):
    """PromQL, and how a series is called: ``{{label}}`` for the value of a label."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A picture of some queries. `rare`: without data while nothing of the kind has happened since a service's start.

    `width` in columns of 24, `height` in Grafana's rows of 30 pixels. `limit` draws what is above it in red.
    """

    title: str
    text: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat", "alertlist"] = "timeseries"
    unit: Unit = "short"
    width: int = 8
    height: int = 8
    rare: bool = False
    limit: float | None = None


class Row(NamedTuple):
    """Panels under a heading, laid out from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """`uid` is its file's name and its address in Grafana. `variables` are named regular expressions to change."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str, str]] = ()
    """Name, label and value."""

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def to_grafana(self) -> dict[str, Any]:
        """The document that Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.text,
            "tags": ["notifications"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_DATASOURCE, *(_variable(*variable) for variable in self.variables)]},
            "links": [_LINKS],
            "annotations": {"list": []},
            "panels": _lay_out(self.rows),
        }


_DATASOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
_LINKS = {"type": "dashboards", "title": "Notifications", "tags": ["notifications"], "asDropdown": True}


def _variable(name: str, label: str, value: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "textbox",
        "query": value,
        "current": {"text": value, "value": value},
    }


def _lay_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": row.title, "gridPos": place, "collapsed": False})
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    text = panel.text + (" Empty while nothing of the kind has happened." if panel.rare else "")
    made: dict[str, Any] = {"type": panel.kind, "title": panel.title, "description": text}
    if panel.kind == "alertlist":
        options = {"alertInstanceLabelFilter": '{alertname=~"Notification.+"}', "stateFilter": {"firing": True}}
        return {**made, "options": {**options, "viewMode": "list", "groupMode": "default", "sortOrder": 3}}
    made |= {"datasource": _SOURCE, "targets": [_target(n, q) for n, q in enumerate(panel.queries)]}
    made["fieldConfig"] = {"defaults": _field(panel), "overrides": []}
    if panel.kind == "timeseries":
        legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
        made["options"] = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return made


def _target(number: int, query: Query) -> dict[str, Any]:
    name = chr(ord("A") + number)
    return {"refId": name, "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend or "__auto"}


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    field: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries" and panel.limit is not None:
        field["custom"] = {"thresholdsStyle": {"mode": "dashed"}}
    return field
