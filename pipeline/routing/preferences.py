"""What a user's preference rows say about one event, channel by channel: the most specific row wins. Pure.

Rows rank by channel first, then by type: (channel, type), (channel, category), (channel, all), (all, type), (all,
category), (all, all). What a user says about one channel is thus never overruled by what they say about all, and all
rows can be sorted out in one pass, whatever the number of channels.
"""

from collections.abc import Mapping, Sequence

import msgspec

from pipeline.events.vocabulary import Channel
from pipeline.users.snapshot import EVERY, PreferenceRow

LEVELS = ("channel_type", "channel_category", "channel_all", "all_type", "all_category", "all_all")
"""Names of the ranks, the most specific first."""

_ALL_CHANNELS = 3


class Opinion(msgspec.Struct, frozen=True):
    """A row that says on or off, and its rank (an index into `LEVELS`)."""

    rank: int
    enabled: bool
    channel: str
    notif_type: str


class QuietWindow(msgspec.Struct, frozen=True):
    """``[start, end)`` in seconds since midnight on the wall clock of `timezone` (empty: the user's own)."""

    start: int
    end: int
    timezone: str


class Preferences:
    """The rows that speak about one event.

    `type_levels`: what a row's `notif_type` may say to mean this event, see `EventType.type_levels`.
    """

    __slots__ = ("_opinions", "_windows")

    def __init__(self, rows: Sequence[PreferenceRow], type_levels: Mapping[str, int]) -> None:
        self._opinions: dict[str, tuple[int, bool, str]] = {}
        self._windows: dict[str, tuple[int, int, int, str]] = {}
        for row in rows:
            level = type_levels.get(row.notif_type)
            if level is not None:
                self._take(row, level, EVERY if row.channel == "all" else row.channel)

    def opinion(self, channel: Channel) -> Opinion | None:
        """The row that says on or off; of several of one rank off wins. None: no row says anything."""
        own = self._opinions.get(channel)
        if own is not None:
            return Opinion(own[0], own[1], channel, own[2])
        every = self._opinions.get(EVERY)
        return None if every is None else Opinion(every[0] + _ALL_CHANNELS, every[1], EVERY, every[2])

    def quiet_window(self, channel: Channel) -> QuietWindow | None:
        """The window that holds, be it an empty one; None: no row has one.

        Of several of one rank: the one that starts first on the clock, then ends first, then by the zone's name.
        """
        window = self._windows.get(channel) or self._windows.get(EVERY)
        return None if window is None else QuietWindow(*window[1:])

    def _take(self, row: PreferenceRow, level: int, channel: str) -> None:
        """Keep what sorts first: the lower level, then off before on."""
        if row.enabled is not None:
            says = (level, row.enabled, row.notif_type)
            if channel not in self._opinions or says < self._opinions[channel]:
                self._opinions[channel] = says
        if row.quiet_start is not None and row.quiet_end is not None:
            window = (level, row.quiet_start, row.quiet_end, row.timezone or "")
            if channel not in self._windows or window < self._windows[channel]:
                self._windows[channel] = window
