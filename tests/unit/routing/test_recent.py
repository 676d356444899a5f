"""What a router remembers beside Redis."""

from pipeline.routing.recent import Recent


def test_redis_is_believed_where_it_holds_something() -> None:
    recent = Recent(lambda: 0.0)
    recent.put("k", b"old", 1_000)
    assert recent.either("k", b"new") == b"new"
    assert recent.either("k", None) == b"old"
    assert recent.either("other", None) is None


def test_nothing_is_remembered_for_longer_than_redis_keeps_it() -> None:
    now = 0.0
    recent = Recent(lambda: now)
    recent.put("k", b"v", 1_500)
    now = 1.4
    assert recent.either("k", None) == b"v"
    now = 1.6
    assert recent.either("k", None) is None


def test_the_value_that_was_put_longest_ago_is_forgotten_first() -> None:
    recent = Recent(lambda: 0.0, limit=2)
    for key in ("a", "b", "a", "c"):
        recent.put(key, key.encode(), 1_000)
    assert [recent.either(key, None) for key in "abc"] == [b"a", None, b"c"]
