"""How many SMS segments a text takes (3GPP TS 23.038: GSM-7 and its extension table, else UCS-2)."""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENDED

MAX_SEGMENTS = 10
"""Twilio takes 1,600 characters; beyond ten segments carriers deliver unreliably. https://www.twilio.com/docs/glossary/what-sms-character-limit"""


def segments(text: str) -> int:
    """Segments that `text` is sent as; a part of a longer text loses room to the concatenation header."""
    if _GSM.issuperset(text):
        return _parts(len(text) + sum(map(_EXTENDED.__contains__, text)), 160, 153)
    return _parts(len(text.encode("utf-16-le")) // 2, 70, 67)


def _parts(units: int, alone: int, concatenated: int) -> int:
    return 1 if units <= alone else -(-units // concatenated)
