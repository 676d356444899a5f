from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.storage.suppressions import Entry
from pipeline.suppression.files import header_line, read_entries, to_line

HASH = "ab" * 32


def read(lines: Iterable[str], reason: str | None = None) -> list[Entry]:
    return list(read_entries(lines, reason=reason))


def test_what_a_provider_exports_is_read_as_it_is() -> None:
    lines = ["Email,created\n", "a@example.com,1\n", ' "b@example.com" ,2\n']
    assert read(lines, reason="bounced") == [
        Entry(channel=Channel.EMAIL, address="a@example.com", reason="bounced"),
        Entry(channel=Channel.EMAIL, address="b@example.com", reason="bounced"),
    ]


def test_what_was_exported_reads_back() -> None:
    entries = [
        Entry(channel=Channel.EMAIL, address_hash=HASH, user_id='a,"b"', reason="bounced, twice"),
        Entry(
            channel=Channel.PUSH,
            stream="marketing",
            user_id="u",
            reason="r",
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        ),
    ]
    assert read([header_line(), *map(to_line, entries)]) == entries


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("pigeon,,a@example.com,,,r", "channel 'pigeon' is none of"),
        ("email,,nobody,,,r", "no e-mail address"),
        ("email,,,,,r", "neither an address nor a user_id"),
        ("email,,a@example.com,,,", "no reason"),
        ("push,,token,,,r", "give a user_id alone"),
        ("email,,,12,,r", "64 hexadecimal digits"),
        ("email,,a@example.com," + HASH + ",,r", "keep one"),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_what_to_change(row: str, problem: str) -> None:
    lines = ["channel,stream,address,address_hash,user_id,reason\n", "email,,a@example.com,,,r\n", row + "\n"]
    with pytest.raises(ConfigurationError, match="line 3: ") as error:
        read(lines)
    assert problem in str(error.value)


def test_a_file_without_a_subject_column_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no column address"):
        read(["channel,reason\n"])
