"""The files that are made from this package: dashboards, and the rules of the service levels."""

import json
from pathlib import Path

import yaml

from pipeline.observability.boards.channels import CHANNELS
from pipeline.observability.boards.engine import DELIVERY, ROUTER
from pipeline.observability.boards.levels import LEVELS
from pipeline.observability.boards.overview import OVERVIEW
from pipeline.observability.boards.slo import rules

DASHBOARDS = [OVERVIEW, *CHANNELS, DELIVERY, ROUTER, LEVELS]

_MADE = "# Made by `pipeline docs dashboards` from pipeline/observability/boards/slo.py: change it there.\n"


class _Dumper(yaml.SafeDumper):
    """Writes what has several lines as several lines."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def files() -> dict[str, str]:
    """What is to be in each file, by its path in the repository's folder ``deploy``."""
    made = {
        f"grafana/{board.uid}.json": json.dumps(board.to_grafana(), indent=2, ensure_ascii=False) + "\n"
        for board in DASHBOARDS
    }
    slo = yaml.dump(rules(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return {**made, "prometheus/slo.yaml": _MADE + slo}


def rebuild(folder: Path) -> list[str]:
    """Write the files of `folder` that are not current; returns their paths within it."""
    changed = []
    for name, text in files().items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed
