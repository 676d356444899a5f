import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.resources import resource_dir
from pipeline.users.files import read_users
from pipeline.users.snapshot import PreferenceRow, Suppression


def written(folder: Path, text: str, name: str = "users.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_examples_can_be_read_and_are_varied() -> None:
    users = read_users(resource_dir("examples") / "users.yaml")
    assert len(users) >= 40
    assert len({user.timezone for user in users}) > 20
    assert any(user.suppressions for user in users)
    assert any(not user.phone for user in users)
    assert any(len(user.devices) > 2 for user in users)
    tokens = [device.token for user in users for device in user.devices]
    assert len(set(tokens)) == len(tokens)


def test_an_entry_becomes_a_user(tmp_path: Path) -> None:
    text = """
- id: anna
  email: anna@example.com
  phone: "+491713920001"
  timezone: Europe/Berlin
  devices: [{id: d, platform: ios, token: t}]
  preferences: [{channel: sms, type: news, enabled: false, quiet: "22:30-07:05", timezone: Asia/Tokyo}, {}]
  consents: [marketing]
  suppressed: [{channel: email, reason: bounced}]
"""
    [anna] = read_users(written(tmp_path, text))
    assert anna.preferences == [
        PreferenceRow("sms", "news", False, 22 * 3600 + 1800, 7 * 3600 + 300, "Asia/Tokyo"),
        PreferenceRow("*", "*", None, None, None, None),
    ]
    assert anna.suppressions == [Suppression(Channel.EMAIL, "*", "bounced", None)]
    assert (anna.devices[0].token, anna.consents, anna.known) == ("t", ["marketing"], True)


def test_json_lines_say_the_same_as_yaml(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"id": name, "email": f"{name}@example.com"}) for name in ("anna", "bernd"))
    assert [user.user_id for user in read_users(written(tmp_path, lines, "users.jsonl"))] == ["anna", "bernd"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{id: a, phone: '0171 123'}", "E.164"),
        ("{id: a, phone: '+4912'}", "E.164"),
        ("{id: a, timezone: Mars/Phobos}", "Mars/Phobos"),
        ("{id: a, timezone: ../../etc/passwd}", "time zone"),
        ("{id: a, preferences: [{timezone: Nowhere}]}", "Nowhere"),
        ("{id: a, preferences: [{quiet: '22-7'}]}", "HH:MM-HH:MM"),
        ("{id: a, preferences: [{quiet: '24:00-07:00'}]}", "HH:MM-HH:MM"),
        ("{id: a, preferences: [{channel: fax}]}", "fax"),
        ("{id: a, devices: [{id: d, platform: toaster}]}", "toaster"),
        ("{id: a, mail: x}", "mail"),
        ("{id: a}, {id: a}", "2 times"),
        ("{id: ''}", "1 to 255"),
        ("{id: a", "users.yaml"),
    ],
)
def test_a_wrong_entry_is_refused_with_the_problem_named(tmp_path: Path, entry: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_users(written(tmp_path, f"[{entry}]"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        read_users(tmp_path / "nowhere.yaml")
