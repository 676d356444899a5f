"""How many SMS segments a text takes (3GPP TS 23.038: GSM-7 and its extension table, else UCS-2)."""

from collections.abc import Iterable

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENDED

_LAST_OF_ONE_UNIT = "\uffff"


def is_gsm(text: str) -> bool:
    """Whether the GSM alphabet has every character of it; else it travels as UCS-2, less than half as much a segment."""
    return _GSM.issuperset(text)


def segments(text: str) -> int:
    """Segments that `text` is sent as; a part of a longer text loses room to the concatenation header.

    What takes two units (a character of the extension table, one beyond the Basic Multilingual Plane) is never cut in
    two: a part ends one unit early instead.
    """
    if is_gsm(text):
        return _parts([c in _EXTENDED for c in text], 160, 153)
    return _parts([c > _LAST_OF_ONE_UNIT for c in text], 70, 67)


def _parts(double: list[bool], alone: int, concatenated: int) -> int:
    """`double`: for each character, whether it takes two units."""
    units = len(double) + sum(double)
    if units <= alone:
        return 1
    if units == len(double):
        return -(-units // concatenated)
    return _filled((1 + both for both in double), concatenated)


def _filled(units: Iterable[int], room: int) -> int:
    parts, used = 1, 0
    for unit in units:
        used += unit
        if used > room:
            parts, used = parts + 1, unit
    return parts
