import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.users.synthetic import web_subscription
from pipeline.users.web_subscription import canonical_subscription, looks_like_subscription, parse_subscription

GOOD = json.loads(web_subscription("u", "d"))


def test_the_same_subscription_is_always_spelt_the_same() -> None:
    browser = {"expirationTime": None, "keys": dict(reversed(GOOD["keys"].items())), "endpoint": GOOD["endpoint"]}
    assert canonical_subscription(json.dumps(browser, indent=2)) == canonical_subscription(json.dumps(GOOD))


def test_padding_in_keys_is_no_matter() -> None:
    keys = {name: value + "=" * (-len(value) % 4) for name, value in GOOD["keys"].items()}
    assert parse_subscription(json.dumps(GOOD | {"keys": keys})) == parse_subscription(json.dumps(GOOD))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"endpoint": "file:///etc/passwd"}, "endpoint"),
        ({"endpoint": "https://user:pass@push.example.com/x"}, "endpoint"),
        ({"endpoint": "/relative"}, "endpoint"),
        ({"endpoint": "https://[bad"}, "endpoint"),
        ({"endpoint": 5}, "endpoint"),
        ({"keys": {"auth": GOOD["keys"]["auth"]}}, "p256dh"),
        ({"keys": {"auth": "AAAA", "p256dh": GOOD["keys"]["p256dh"]}}, "auth"),
        ({"keys": {"auth": GOOD["keys"]["auth"], "p256dh": "!!!"}}, "p256dh"),
    ],
)
def test_a_wrong_part_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_subscription(json.dumps(GOOD | change))


@given(st.text())
def test_any_text_is_a_subscription_or_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"subscription|endpoint|keys"):
        parse_subscription("{" + text)


def test_a_token_of_fcm_is_none() -> None:
    assert not looks_like_subscription("cFg:APA91bH")
    assert looks_like_subscription(web_subscription("u", "d"))
