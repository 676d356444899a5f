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


def test_a_need_that_nobody_has_spoken_of_keeps_a_service_from_being_ready() -> None:
    health = Health()
    health.set("service", ok=True)
    health.set("redis", ok=True)
    health.need("redis", "kafka notifications.ingest")
    assert health.report()["missing"] == ["kafka notifications.ingest"]


def test_a_part_that_is_stuck_makes_the_service_not_live_until_it_goes_on() -> None:
    health, complaint = Health("consumer"), ["has not polled for 90 s"]
    health.set("consumer", ok=True)
    health.live_while("consumer", lambda: complaint[0])
    report = health.report()
    assert (report["live"], report["ready"], report["missing"]) == (False, False, ["consumer"])
    assert report["parts"]["consumer"]["detail"] == "has not polled for 90 s"
    complaint[0] = ""
    assert health.report()["parts"]["consumer"] == {"ok": True, "detail": ""}
    assert health.ready


def test_who_waits_for_a_server_is_not_restarted_for_standing_still() -> None:
    health = Health("consumer", "redis")
    health.set("consumer", ok=False, detail="Kafka does not answer")
    health.live_while("consumer", lambda: "has not polled for 90 s")
    assert health.live
    health.set("redis", ok=True)
    assert not health.live, "only its own part is missing now"
