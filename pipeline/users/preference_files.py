"""Preferences and consents in a file: CSV (RFC 4180, a header line) or JSON lines, one a line. Pure.

A line is a preference (``user_id``, ``channel``, ``type``, ``enabled``, ``quiet`` as ``HH:MM-HH:MM``, ``timezone``; what is
left out says nothing, and means all channels or types) or a consent (``user_id``, ``consent``: a category, ``granted``,
``at``, ``source``, ``wording_version``).
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from pipeline.events.vocabulary import Channel
from pipeline.storage.users import Consent
from pipeline.users.formats import QUIET_HOURS, is_zone
from pipeline.users.snapshot import EVERY, PreferenceRow

Format = Literal["csv", "jsonl"]

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_YES_OR_NO = ("enabled", "granted")
_CHANNELS = (*Channel, EVERY)


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as it is written."""

    user_id: str
    channel: str | None = None
    type: str | None = None
    enabled: bool | None = None
    quiet: str | None = None
    timezone: str | None = None
    consent: str | None = None
    granted: bool | None = None
    at: datetime | None = None
    source: str | None = None
    wording_version: str | None = None


class UserPreference(NamedTuple):
    user_id: str
    row: PreferenceRow


class UserConsent(NamedTuple):
    user_id: str
    consent: Consent


class BadLine(NamedTuple):
    """What is wrong, by the number of its line; never what stands there."""

    number: int
    problem: str


COLUMNS = Line.__struct_fields__
_PREFERENCE = ("channel", "type", "enabled", "quiet", "timezone")
_CONSENT = ("granted", "at", "source", "wording_version")

_decode = msgspec.json.Decoder(Line).decode


def read_preferences(lines: Iterable[str], format_: Format) -> Iterator[UserPreference | UserConsent | BadLine]:
    """Every line in order, right or wrong; empty ones are passed over."""
    yield from _csv(lines) if format_ == "csv" else _json(lines)


def _json(lines: Iterable[str]) -> Iterator[UserPreference | UserConsent | BadLine]:
    for number, text in enumerate(lines, start=1):
        if text.strip():
            try:
                yield _meaning(_decode(text))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                yield BadLine(number, str(error))


def _csv(lines: Iterable[str]) -> Iterator[UserPreference | UserConsent | BadLine]:
    reader = csv.DictReader(lines, skipinitialspace=True)
    try:
        header = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error as error:
        yield BadLine(1, str(error))
        return
    if unknown := sorted({*header} - {*COLUMNS}) or ("user_id" not in header and ["no user_id"]):
        yield BadLine(1, f"the header line must name columns, of which there are {', '.join(COLUMNS)}: {unknown}")
        return
    reader.fieldnames = header
    while True:
        try:
            row = next(reader)
            yield _meaning(_line(row))
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            yield BadLine(reader.line_num, str(error))


def _line(row: dict[str, str]) -> Line:
    if None in row or None in row.values():
        raise ValueError("it has another number of columns than the header line")
    given = {name: value.strip() for name, value in row.items() if value.strip()}
    words: dict[str, object] = {name: _word(name, text) if name in _YES_OR_NO else text for name, text in given.items()}
    return msgspec.convert(words, Line)


def _word(name: str, text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError(f"{name} must be true or false") from None


def _meaning(line: Line) -> UserPreference | UserConsent:
    if not 1 <= len(line.user_id) <= 255 or "\0" in line.user_id:
        raise ValueError("a user_id has 1 to 255 characters")
    strange = [name for name in (_CONSENT if line.consent is None else _PREFERENCE) if getattr(line, name) is not None]
    if strange:
        kind = "a preference" if line.consent is None else "a consent"
        raise ValueError(f"{kind} has no {', '.join(strange)}; write preferences and consents on lines of their own")
    return _consent(line) if line.consent is not None else _preference(line)


def _consent(line: Line) -> UserConsent:
    if line.granted is None:
        raise ValueError("granted is missing: true or false")
    if not line.consent:
        raise ValueError("consent must name a category")
    at = line.at if line.at is None or line.at.tzinfo else line.at.replace(tzinfo=UTC)
    consent = Consent(
        category=line.consent,
        granted=line.granted,
        at=at,
        source=line.source or "import",
        wording_version=line.wording_version or "",
    )
    return UserConsent(line.user_id, consent)


def _preference(line: Line) -> UserPreference:
    channel = (line.channel or EVERY).lower().replace("-", "_")
    if channel not in _CHANNELS:
        raise ValueError(f"channel must be one of {', '.join(_CHANNELS)}")
    if line.timezone is not None and not is_zone(line.timezone):
        raise ValueError("timezone is no IANA time zone, such as Europe/Berlin")
    window = QUIET_HOURS.fullmatch(line.quiet) if line.quiet is not None else None
    if line.quiet is not None and window is None:
        raise ValueError("quiet must be HH:MM-HH:MM")
    if line.enabled is None and window is None:
        raise ValueError("it says nothing: give enabled, quiet or both")
    start = end = None
    if window is not None:
        hours = [int(number) for number in window.groups()]
        start, end = hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60
    return UserPreference(
        line.user_id, PreferenceRow(channel, line.type or EVERY, line.enabled, start, end, line.timezone)
    )
