"""What an SMTP reply means: by its enhanced status code (RFC 3463) where it has one, else by its basic code."""

import re

from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.table import Row

NAME = "smtp"

_BASIC = "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3"
_ENHANCED = "https://www.iana.org/assignments/smtp-enhanced-status-codes"
_AUTH = "https://www.rfc-editor.org/rfc/rfc4954#section-6"

DEAD_ADDRESS_CODES = frozenset({550, 551, 553})
"""Only with one of these does an enhanced code below condemn the address."""

ENHANCED: dict[str, Row] = {
    "5.1.1": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.1.2": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.1.3": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.1.6": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.1.10": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.2.1": Row(Outcome.INVALID_RECIPIENT, _ENHANCED),
    "5.1.7": Row(Outcome.CONFIGURATION, _ENHANCED),
    "5.1.8": Row(Outcome.CONFIGURATION, _ENHANCED),
    "5.7.8": Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    "5.7.9": Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    "5.7.11": Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
}
"""By enhanced status code; the sender's address (5.1.7, 5.1.8) and authentication are ours to mend."""

BASIC: dict[int, Row] = {
    421: Row(Outcome.THROTTLED, _BASIC),
    454: Row(Outcome.THROTTLED, _AUTH),
    530: Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    534: Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    535: Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    538: Row(Outcome.CONFIGURATION, _AUTH, Scope.ACCOUNT),
    552: Row(Outcome.PERMANENT, _BASIC),
    554: Row(Outcome.PERMANENT, _BASIC),
}
"""By basic code."""

POLICY_DELAY = "4.7."
"""Greylisting and rate limits: https://www.rfc-editor.org/rfc/rfc6647#section-2.7"""

_CODE = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")


def classify(code: int, text: str) -> SendResult:
    """What a refusal means. `error` is the enhanced code, or the basic one: never the text, it may quote an address."""
    match = _CODE.match(text.strip())
    enhanced = match[1] if match else ""
    row = _row(code, enhanced)
    return SendResult(outcome=row.outcome, provider=NAME, error=enhanced or str(code), scope=row.scope)


def _row(code: int, enhanced: str) -> Row:
    row = ENHANCED.get(enhanced)
    if row and (row.outcome is not Outcome.INVALID_RECIPIENT or code in DEAD_ADDRESS_CODES):
        return row
    if basic := BASIC.get(code):
        return basic
    if enhanced.startswith(POLICY_DELAY):
        return Row(Outcome.THROTTLED, _ENHANCED)
    return Row(Outcome.PERMANENT if code >= 500 else Outcome.TRANSIENT, _BASIC)
