"""The load that is planned for, and how people write it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel, Priority

Word = TypeVar("Word", Channel, Priority)

_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKmMgG]?)")
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_PEAK = re.compile(r"(?P<number>\d+(?:\.\d+)?)[xX]?")

CHANNELS: Mapping[Channel, float] = {Channel.PUSH: 0.5, Channel.EMAIL: 0.3, Channel.SMS: 0.05, Channel.IN_APP: 0.15}
PRIORITIES: Mapping[Priority, float] = {
    Priority.CRITICAL: 0.05,
    Priority.HIGH: 0.25,
    Priority.NORMAL: 0.5,
    Priority.LOW: 0.2,
}
DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Load:
    """What comes in.

    Attributes:
        per_day: events a day.
        peak: how many times the day's mean the busiest minutes have.
        channels: notifications of each channel that an event makes in the mean; 0.5 is every other event.
        priorities: share of each priority; together 1.
        users: people who get any; None: as many as events a day, which is the most that one day can reach.
        provider_seconds: how long a provider's answer takes.
        keep_days: how long PostgreSQL keeps the history.
    """

    per_day: float
    peak: float = 5
    channels: Mapping[Channel, float] = field(default_factory=lambda: CHANNELS)
    priorities: Mapping[Priority, float] = field(default_factory=lambda: PRIORITIES)
    users: float | None = None
    provider_seconds: float = 0.2
    keep_days: float = 90

    @property
    def events(self) -> float:
        """A second, at the peak."""
        return self.per_day / DAY_SECONDS * self.peak

    @property
    def fan_out(self) -> float:
        """Notifications that an event makes."""
        return sum(self.channels.values())

    @property
    def notifications(self) -> float:
        """A second, at the peak."""
        return self.events * self.fan_out


def read_number(option: str, text: str) -> float:
    """``10M``, ``250k``, ``1500``.

    Raises:
        ConfigurationError: it is no number above 0; names the option.
    """
    match = _NUMBER.fullmatch(text.strip().replace("_", "").replace(",", ""))
    value = float(match["number"]) * _TIMES[match["unit"].lower()] if match else 0
    if value <= 0:
        raise ConfigurationError(f"{option} {text!r}: give a number above 0, as in 250k or 10M")
    return value


def read_peak(text: str) -> float:
    """``5x`` or ``5``.

    Raises:
        ConfigurationError: it is no number of at least 1.
    """
    match = _PEAK.fullmatch(text.strip())
    if not match or float(match["number"]) < 1:
        raise ConfigurationError(f"--peak {text!r}: how many times the mean is the peak? Give 1 or more, as in 5x")
    return float(match["number"])


def read_channels(text: str) -> dict[Channel, float]:
    """``push=0.5,email=0.3``: notifications of each channel for an event; ``in-app`` and ``in_app`` are the same.

    Raises:
        ConfigurationError: a word is no channel, or a number is none.
    """
    return _read("--channels", text.replace("in-app", "in_app"), Channel)


def read_priorities(text: str) -> dict[Priority, float]:
    """``critical=0.1,high=0.9``: the share of each.

    Raises:
        ConfigurationError: a word is no priority, a number is none, or they are not 1 together.
    """
    shares = _read("--priorities", text, Priority)
    if abs(sum(shares.values()) - 1) > 0.01:
        raise ConfigurationError(
            f"--priorities {text!r}: the shares are {sum(shares.values()):g} together, and must be 1"
        )
    return shares


def _read(option: str, text: str, kind: type[Word]) -> dict[Word, float]:
    shares: dict[Word, float] = {}
    for pair in text.split(","):
        word, _, number = pair.strip().partition("=")
        try:
            name, share = kind(word), float(number)
        except ValueError:
            share = -1
        if not 0 <= share <= 100:
            raise ConfigurationError(f"{option} {pair.strip()!r}: write NAME=NUMBER with a name of {', '.join(kind)}")
        shares[name] = share
    if not any(shares.values()):
        raise ConfigurationError(f"{option} {text!r}: at least one must be above 0")
    return shares
