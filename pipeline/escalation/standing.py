"""How the channels of one event stand, as a step asks. The scheduler finds it out; it travels with what is released."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from pipeline.catalogue.model import Sign
from pipeline.events.vocabulary import Channel

Instant = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]
"""Milliseconds; bounded, since a header can be written by anybody who may write to the ingest topic."""


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """One channel. All times are milliseconds.

    `at` is when it went, or will go where it still `waits`; None: it never went, or nobody knows when. `sent`: a
    provider took it, and it did not bounce. `seen` and `clicked` are the first time of each.
    """

    at: Instant | None = None
    waits: bool = False
    sent: bool = False
    seen: Instant | None = None
    clicked: Instant | None = None

    def since(self, sign: Sign) -> int | None:
        """When that sign came; None: it did not. Who clicked has seen it."""
        if sign is Sign.CLICKED:
            return self.clicked
        return min((at for at in (self.seen, self.clicked) if at is not None), default=None)


Standings = Mapping[Channel, Standing]
"""By channel; a channel that is missing is no part of the event."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[Channel, Standing]).decode


def encode_standings(standings: Standings) -> bytes:
    return _encode(standings)


def decode_standings(text: bytes | None) -> Standings:
    """Of the header; what is missing or cannot be read says nothing: then a step that was released goes."""
    if text is None:
        return {}
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return {}
