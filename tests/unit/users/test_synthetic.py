import re

import phonenumbers

from pipeline.users.synthetic import TOKEN_LENGTH, fcm_token, generate_users, with_own_tokens
from pipeline.users.web_subscription import parse_subscription


def test_the_same_seed_gives_the_same_users_and_another_seed_others() -> None:
    assert generate_users(50, 1) == generate_users(50, 1)
    assert generate_users(50, 1) != generate_users(50, 2)


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    assert generate_users(50, 1)[:20] == generate_users(20, 1)


def test_every_phone_number_is_a_valid_one() -> None:
    phones = [user.phone for user in generate_users(1000, 1) if user.phone]
    assert 600 < len(phones) < 800
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(phone)) for phone in phones)


def test_tokens_look_like_fcms_and_belong_to_one_device() -> None:
    tokens = [device.token for user in generate_users(1000, 1) for device in user.devices]
    assert len(set(tokens)) == len(tokens) > 800
    assert all(re.fullmatch(rf"[\w-]{{22}}:APA91b[\w-]{{{TOKEN_LENGTH - 29}}}", token) for token in tokens)
    assert fcm_token("anna", "phone") == fcm_token("anna", "phone")


def test_own_tokens_are_those_of_each_platforms_provider() -> None:
    users = [with_own_tokens(user) for user in generate_users(100, 1)]
    devices = [device for user in users for device in user.devices]
    assert len({device.token for device in devices}) == len(devices)
    for device in devices:
        match device.platform:
            case "ios":
                assert re.fullmatch(r"[0-9a-f]{64}", device.token)
            case "web":
                parse_subscription(device.token)
            case _:
                assert ":APA91b" in device.token
