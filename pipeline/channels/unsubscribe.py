"""Signed links of a message's recipient: to unsubscribe, and to their preferences.

Whoever holds an unsubscribe token may opt that user out on that channel, no more. It does not expire (CAN-SPAM).
Whoever holds a preference token may change what that user is told and where; so it is looked at for how old it is.
"""

import msgspec

from pipeline.channels.signing import seal, unseal
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel

_PREFERENCES = b"preferences"


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a token stands for. `reference`: the notification that it came with; None: not told."""

    user_id: str
    category: str
    channel: Channel
    reference: Reference | None = None


class PreferenceLink(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a preference token stands for; `issued_at` in ms."""

    user_id: str
    issued_at: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Unsubscribe).decode
_decode_link = msgspec.json.Decoder(PreferenceLink).decode


def sign(claim: Unsubscribe, secret: bytes) -> str:
    """The token for an unsubscribe link."""
    return seal(_encode(claim), secret)


def verify(token: str, secret: bytes) -> Unsubscribe | None:
    """What an unsubscribe token stands for; None if it is not one of ours."""
    payload = unseal(token, secret)
    try:
        return None if payload is None else _decode(payload)
    except msgspec.DecodeError:
        return None


def sign_preferences(link: PreferenceLink, secret: bytes) -> str:
    """The token for a preference link."""
    return seal(_encode(link), secret, _PREFERENCES)


def verify_preferences(token: str, secret: bytes) -> PreferenceLink | None:
    """What a preference token stands for, however old; None if it is not one of ours."""
    payload = unseal(token, secret, _PREFERENCES)
    try:
        return None if payload is None else _decode_link(payload)
    except msgspec.DecodeError:
        return None
