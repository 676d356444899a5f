from pipeline.observability.health import Health


def test_a_service_is_not_ready_before_each_of_its_needs_is_met() -> None:
    health = Health("kafka", "redis")
    health.set("kafka", ok=True)
    assert not health.ready
    assert health.report()["missing"] == ["redis"]
    health.set("redis", ok=True)
    assert health.ready


def test_a_service_that_registered_nothing_is_not_ready() -> None:
    assert not Health().ready


def test_losing_a_need_makes_it_unready_and_says_why_but_leaves_it_alive() -> None:
    health = Health()
    health.set("redis", ok=True)
    health.set("redis", ok=False, detail="connection refused")
    report = health.report()
    assert (report["live"], report["ready"]) == (True, False)
    assert report["parts"]["redis"] == {"ok": False, "detail": "connection refused"}


def test_giving_up_is_final() -> None:
    health = Health("kafka")
    health.give_up("the consumer was fenced")
    health.set("kafka", ok=True)
    assert not health.live
    assert not health.ready
    assert health.report()["parts"]["service"]["detail"] == "the consumer was fenced"
