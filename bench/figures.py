"""A figure beside its peer, and how figures are shown and kept."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

RESULTS = Path("build/bench.json")


class Figure(msgspec.Struct, frozen=True):
    """`ratio` = `ours` / `peer`; for a cost or a latency less is better, for a rate more."""

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float


def figure(name: str, unit: str, ours: float, peer: float, peer_name: str) -> Figure:
    return Figure(name, unit, round(ours, 2), round(peer, 2), peer_name, round(ours / peer, 3))


def show(figures: list[Figure]) -> None:
    table = Table(title="ours beside its peer, in the same run")
    table.add_column("figure")
    table.add_column("unit")
    for column in ("ours", "peer", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("peer is")
    for f in figures:
        table.add_row(f.name, f.unit, f"{f.ours:,.1f}", f"{f.peer:,.1f}", f"{f.ratio:.2f}", f.peer_name)
    Console().print(table)


def keep(figures: list[Figure]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
