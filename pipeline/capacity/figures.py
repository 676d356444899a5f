"""The figures that a plan rests on: measured on this machine by ``make bench``, else those that ship with the project."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pipeline.errors import ConfigurationError


class Figure(msgspec.Struct, frozen=True):
    """One figure. `measured`: by ``make bench`` on this machine; else it ships with the project, measured elsewhere."""

    name: str
    value: float
    unit: str
    measured: bool = False

    @property
    def source(self) -> str:
        return "measured here" if self.measured else "shipped reference"


Figures = Mapping[str, Figure]

REFERENCE: Figures = {
    figure.name: figure
    for figure in (
        Figure("router.rate_vs_naive", 10_800, "events/s"),
        Figure("worker.fcm", 4_300, "messages/s"),
        Figure("worker.smtp", 980, "mails/s"),
        Figure("store.copy", 12_300, "rows/s"),
        Figure("gateway.rate", 3_600, "requests/s"),
        Figure("size.ingest", 212, "bytes/record"),
        Figure("size.dispatch", 335, "bytes/record"),
        Figure("size.decision", 388, "bytes/record"),
        Figure("size.status", 197, "bytes/record"),
        Figure("size.statuses", 1.32, "records/notification"),
        Figure("size.redis_user", 422, "bytes/user"),
        Figure("size.redis", 283, "bytes/notification"),
        Figure("size.store", 1_026, "bytes/notification"),
    )
}
"""Of one process on one of two shared cores (Linux x86-64, Python 3.11), everything else beside it: low, on purpose."""


class _Measured(msgspec.Struct):
    name: str
    ours: float
    unit: str


def read_figures(path: Path) -> Figures:
    """The reference, with what ``make bench`` has measured in its place. No such file: the reference alone.

    Raises:
        ConfigurationError: the file is none of ``make bench``.
    """
    if not path.exists():
        return REFERENCE
    try:
        measured = msgspec.json.decode(path.read_bytes(), type=list[_Measured])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path} is no result of `make bench`: {error}") from None
    own = {
        m.name: Figure(m.name, m.ours, m.unit, measured=True) for m in measured if m.name in REFERENCE and m.ours > 0
    }
    return {**REFERENCE, **own}
