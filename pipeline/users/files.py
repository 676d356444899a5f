"""Users in a file: YAML for people to write (``examples/users.yaml``), JSON lines for programs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.users.formats import QUIET_HOURS, is_e164, is_zone
from pipeline.users.snapshot import EVERY, Device, PreferenceRow, Suppression, UserSnapshot
from pipeline.users.synthetic import fcm_token


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pass


class DeviceEntry(_Entry):
    """Without a `token` it gets one that only looks real."""

    id: str
    platform: Literal["android", "ios", "web"]
    token: str | None = None


class PreferenceEntry(_Entry):
    """`quiet` is ``HH:MM-HH:MM``, in `timezone` or else the user's."""

    channel: Literal["push", "email", "sms", "in_app", "*"] = "*"
    type: str = EVERY
    enabled: bool | None = None
    quiet: str | None = None
    timezone: str | None = None


class SuppressionEntry(_Entry):
    """The user's own address on `channel`."""

    channel: Channel
    reason: str
    stream: str = EVERY


class UserEntry(_Entry):
    """One user of the file."""

    id: str
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    devices: list[DeviceEntry] = []
    preferences: list[PreferenceEntry] = []
    consents: list[str] = []
    suppressed: list[SuppressionEntry] = []


def read_users(path: Path) -> list[UserSnapshot]:
    """The users of a YAML file (a list), or of a ``.jsonl`` file (one a line), in its order.

    Raises:
        ConfigurationError: the file cannot be read, or an entry is wrong; one line for each problem.
    """
    entries = list(_entries(path))
    problems = [f"{path}: {entry.id}: {problem}" for entry in entries for problem in _problems(entry)]
    problems += [f"{path}: {name}: is there {n} times" for name, n in Counter(e.id for e in entries).items() if n > 1]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return [_snapshot(entry) for entry in entries]


def _entries(path: Path) -> list[UserEntry]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            return msgspec.json.Decoder(UserEntry).decode_lines(text)
        return msgspec.convert(yaml.safe_load(text), list[UserEntry])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _problems(entry: UserEntry) -> Iterator[str]:
    if not 1 <= len(entry.id) <= 255:
        yield "an id has 1 to 255 characters"
    if entry.phone is not None and not is_e164(entry.phone):
        yield "the phone number is not valid E.164, such as +12025550100"
    for zone in filter(None, [entry.timezone, *(row.timezone for row in entry.preferences)]):
        if not is_zone(zone):
            yield f"{zone!r} is no IANA time zone, such as Europe/Berlin"
    for row in entry.preferences:
        if row.quiet is not None and not QUIET_HOURS.fullmatch(row.quiet):
            yield f"quiet hours {row.quiet!r} are not HH:MM-HH:MM"


def _snapshot(entry: UserEntry) -> UserSnapshot:
    return UserSnapshot(
        user_id=entry.id,
        version=0,
        known=True,
        email=entry.email,
        phone=entry.phone,
        locale=entry.locale,
        timezone=entry.timezone,
        devices=[Device(d.id, d.platform, d.token or fcm_token(entry.id, d.id)) for d in entry.devices],
        preferences=[_preference(row) for row in entry.preferences],
        consents=entry.consents,
        suppressions=[Suppression(s.channel, s.stream, s.reason, None) for s in entry.suppressed],
    )


def _preference(row: PreferenceEntry) -> PreferenceRow:
    start, end = _window(row.quiet) if row.quiet else (None, None)
    return PreferenceRow(row.channel, row.type, row.enabled, start, end, row.timezone)


def _window(quiet: str) -> tuple[int, int]:
    match = QUIET_HOURS.fullmatch(quiet)
    assert match
    start_hour, start_minute, end_hour, end_minute = map(int, match.groups())
    return start_hour * 3600 + start_minute * 60, end_hour * 3600 + end_minute * 60
