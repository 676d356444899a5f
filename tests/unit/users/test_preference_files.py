import csv
import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage.users import Consent
from pipeline.users.preference_files import BadLine, UserConsent, UserPreference, read_preferences
from pipeline.users.snapshot import PreferenceRow

GOOD: list[tuple[dict[str, object], UserPreference | UserConsent]] = [
    (
        {"user_id": "anna", "channel": "email", "type": "orders", "enabled": False},
        UserPreference("anna", PreferenceRow("email", "orders", False, None, None, None)),
    ),
    (
        {"user_id": "bernd", "quiet": "22:00-07:30", "timezone": "Europe/Berlin"},
        UserPreference("bernd", PreferenceRow("*", "*", None, 79_200, 27_000, "Europe/Berlin")),
    ),
    (
        {"user_id": "clara", "channel": "in-app", "enabled": True},
        UserPreference("clara", PreferenceRow("in_app", "*", True, None, None, None)),
    ),
    (
        {
            "user_id": "clara",
            "consent": "marketing",
            "granted": True,
            "at": "2026-01-31T12:00:00Z",
            "source": "shop",
            "wording_version": "7",
        },
        UserConsent(
            "clara",
            Consent(
                category="marketing",
                granted=True,
                at=datetime(2026, 1, 31, 12, tzinfo=UTC),
                source="shop",
                wording_version="7",
            ),
        ),
    ),
    (
        {"user_id": "d", "consent": "marketing", "granted": False},
        UserConsent("d", Consent(category="marketing", granted=False, source="import")),
    ),
]

BAD = [
    ({"channel": "email", "enabled": True}, "user_id"),
    ({"user_id": "a" * 256, "enabled": True}, "1 to 255"),
    ({"user_id": "a"}, "says nothing"),
    ({"user_id": "a", "channel": "fax", "enabled": True}, "channel must be one of"),
    ({"user_id": "a", "enabled": "perhaps"}, "enabled"),
    ({"user_id": "a", "quiet": "25:00-07:00"}, "HH:MM-HH:MM"),
    ({"user_id": "a", "enabled": True, "timezone": "Mars/Olympus"}, "IANA"),
    ({"user_id": "a", "consent": "marketing"}, "granted is missing"),
    ({"user_id": "a", "consent": "marketing", "granted": True, "channel": "email"}, "lines of their own"),
    ({"user_id": "a", "enabled": True, "granted": True}, "lines of their own"),
    ({"user_id": "a", "consent": "marketing", "granted": True, "at": "yesterday"}, "at"),
]


def as_csv(lines: list[dict[str, object]]) -> list[str]:
    out = StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue().splitlines(keepends=True)


def as_json(lines: list[dict[str, object]]) -> list[str]:
    return [json.dumps(line) + "\n" for line in lines]


def test_both_formats_say_the_same() -> None:
    lines, expected = [line for line, _ in GOOD], [meaning for _, meaning in GOOD]
    assert list(read_preferences(as_json(lines), "jsonl")) == expected
    assert list(read_preferences(as_csv(lines), "csv")) == expected


@pytest.mark.parametrize(("line", "problem"), BAD)
def test_a_bad_line_says_what_to_change_and_hides_no_other(line: dict[str, object], problem: str) -> None:
    good, meaning = GOOD[0]
    for found, first in (
        (list(read_preferences(as_json([good, line, good]), "jsonl")), 1),
        (list(read_preferences(as_csv([good, line, good]), "csv")), 2),
    ):
        assert (found[0], found[2]) == (meaning, meaning)
        assert isinstance(found[1], BadLine)
        assert found[1].number == first + 1
        assert problem in found[1].problem


@pytest.mark.parametrize("header", ["", "user,channel", "user_id,chanel"])
def test_a_header_line_that_is_not_understood_ends_it(header: str) -> None:
    (bad,) = read_preferences([f"{header}\n", "a,email\n"], "csv")
    assert isinstance(bad, BadLine)
    assert "header line must name" in bad.problem


@given(st.lists(st.text(max_size=40)), st.sampled_from(["csv", "jsonl"]))
def test_no_file_ends_the_reading(lines: list[str], format_: str) -> None:
    for found in read_preferences(["user_id,enabled,quiet\n", *lines], "csv" if format_ == "csv" else "jsonl"):
        assert isinstance(found, UserPreference | UserConsent | BadLine)
