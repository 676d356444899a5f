"""What a simulator says that it received."""

from pipeline.testing.received import Received


def test_a_second_device_is_no_repetition_and_a_second_request_to_one_device_is() -> None:
    received = Received()
    for recipient in ("phone", "tablet"):
        received.accept("twice", recipient)
        received.accept("once", recipient)
    received.accept("twice", "phone")
    assert received.repeated() == {"twice": 1}
    assert received.by_notification() == {"twice": 3, "once": 2}
    assert received.duplicates == 1
