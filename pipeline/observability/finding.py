"""What a look at one thing found."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """`WARN` is worth a look; `FAIL` keeps the pipeline from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """What was seen of one thing, and what to do (empty: nothing). Holds no secret."""

    name: str
    level: Level
    detail: str
    remedy: str = ""
