"""The filled skeleton is what firebase-admin's own encoder makes of the same message."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.fcm_message import PushMessage, build_message, device_body, open_body, values_of
from pipeline.testing.fcm_checks import read_message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MESSAGES = st.builds(
    PushMessage,
    notification_id=st.uuids().map(str),
    event_type=TEXT,
    title=TEXT,
    body=TEXT,
    high_priority=st.booleans(),
    collapse_key=st.none() | TEXT.filter(bool),
    ttl=st.none(),
    expires_at=st.none(),
) | st.builds(
    PushMessage,
    notification_id=st.uuids().map(str),
    event_type=TEXT,
    title=TEXT,
    body=TEXT,
    high_priority=st.booleans(),
    collapse_key=st.none() | TEXT.filter(bool),
    ttl=st.integers(0, 2_419_200),
    expires_at=st.integers(0, 2**40),
)


@given(MESSAGES, TEXT.filter(bool))
def test_filled_equals_encoded(message: PushMessage, token: str) -> None:
    values = values_of(message) | {"token": token}
    encoded = str(build_message(values, message.ttl, high_priority=message.high_priority))
    assert json.loads(device_body(open_body(message), token)) == {"message": json.loads(encoded)}


@given(MESSAGES, TEXT.filter(bool))
def test_the_simulator_takes_whatever_the_channel_makes(message: PushMessage, token: str) -> None:
    assert read_message(device_body(open_body(message), token)).token == token


def test_marks_in_data_are_not_filled_in() -> None:
    message = PushMessage("id", "type", "@token@", '"@body@"', True, "@tag@", None, None)
    sent = json.loads(device_body(open_body(message), "@title@"))["message"]
    assert (sent["notification"], sent["token"]) == ({"title": "@token@", "body": '"@body@"'}, "@title@")
