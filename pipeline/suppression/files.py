"""The suppression list as CSV (RFC 4180, UTF-8, a header line). Pure: lines in, lines out.

Columns: ``channel, stream, address, address_hash, user_id, reason, created_at, expires_at``. A row names an address, the
hash of one (as an export has it), or a user without either: then all of the user's channel. ``email`` and ``phone`` are
taken for ``address`` on that channel, so that what a provider exports need not be edited.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.storage.suppressions import ADDRESSED, Entry
from pipeline.users.snapshot import EVERY

COLUMNS = ("channel", "stream", "address_hash", "user_id", "reason", "created_at", "expires_at")
"""What an export has: of an address nobody knows more than its hash."""

_ADDRESS = {"email": Channel.EMAIL, "phone": Channel.SMS}
_KNOWN = {*COLUMNS, "address", *_ADDRESS}
_HASH_LENGTH = 64
_MOST_PROBLEMS = 20


def read_entries(
    lines: Iterable[str], *, channel: Channel | None = None, stream: str | None = None, reason: str | None = None
) -> Iterator[Entry]:
    """The entries of a CSV file; `channel`, `stream` and `reason` stand in where a row has none.

    Raises:
        ConfigurationError: some rows are wrong; each with its line and what to change. Raised at the end, so that all
            are told: take nothing before everything was read.
    """
    reader = csv.DictReader(lines, skipinitialspace=True)
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    if not header:
        raise ConfigurationError("the file is empty; its first line must name the columns")
    if not {"address", "address_hash", "user_id", *_ADDRESS} & set(header):
        raise ConfigurationError(f"line 1: no column address, address_hash, user_id, email or phone (has: {header})")
    reader.fieldnames = header
    defaults = {"channel": channel or "", "stream": stream or "", "reason": reason or ""}
    problems: list[str] = []
    for row in reader:
        try:
            yield _entry({**defaults, **{k: v.strip() for k, v in row.items() if k in _KNOWN and v and v.strip()}})
        except ValueError as error:
            problems.append(f"line {reader.line_num}: {error}")
            if len(problems) == _MOST_PROBLEMS:
                problems.append("there may be more")
                break
    if problems:
        raise ConfigurationError("nothing was imported:\n" + "\n".join(problems))


def _entry(row: Mapping[str, str]) -> Entry:
    named = next((name for name in _ADDRESS if row.get(name)), "")
    channel = _channel(row["channel"] or _ADDRESS.get(named, ""))
    entry = Entry(
        channel=channel,
        stream=EVERY if row["stream"] in ("", "all") else row["stream"],
        address=row.get("address") or row.get(named) or None,
        address_hash=row.get("address_hash", "").lower() or None,
        user_id=row.get("user_id") or None,
        reason=row["reason"],
        expires_at=parse_instant(row.get("expires_at", "")),
    )
    check(entry)
    return entry


def check(entry: Entry) -> None:
    """Raises `ValueError` with what to change where the list cannot hold `entry`."""
    if not entry.reason:
        raise ValueError("no reason; add the column, or give --reason")
    if entry.address is not None and entry.address_hash is not None:
        raise ValueError("both an address and an address_hash; keep one")
    if not entry.is_of_address and entry.user_id is None:
        raise ValueError("neither an address nor a user_id")
    if entry.is_of_address and entry.channel not in ADDRESSED:
        raise ValueError(f"on {entry.channel} a user's channel is suppressed, not an address: give a user_id alone")
    if entry.channel is Channel.EMAIL and entry.address is not None and "@" not in entry.address:
        raise ValueError("the address is no e-mail address")
    if entry.channel is Channel.SMS and entry.address is not None and not any(c.isdigit() for c in entry.address):
        raise ValueError("the address is no phone number")
    if entry.address_hash is not None and not _is_hash(entry.address_hash):
        raise ValueError("address_hash must be 64 hexadecimal digits, as an export has them")


def _is_hash(text: str) -> bool:
    return len(text) == _HASH_LENGTH and all(c in "0123456789abcdef" for c in text)


def _channel(text: str) -> Channel:
    try:
        return Channel(text.lower().replace("-", "_"))
    except ValueError:
        raise ValueError(f"channel {text!r} is none of {', '.join(Channel)}") from None


def parse_instant(text: str) -> datetime | None:
    """ISO 8601; without an offset it is UTC; None where there is none. Raises `ValueError`."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it like 2026-12-31T23:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def header_line() -> str:
    return ",".join(COLUMNS) + "\r\n"


def to_line(entry: Entry) -> str:
    """One CSV line with its end."""
    out = StringIO()
    csv.writer(out).writerow([_text(getattr(entry, name)) for name in COLUMNS])
    return out.getvalue()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return "" if value is None else str(value)
