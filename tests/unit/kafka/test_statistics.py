"""librdkafka's statistics become metrics that add up, whatever happens to the client."""

import time

import msgspec
from confluent_kafka import Producer

from pipeline.kafka.statistics import Statistics
from pipeline.observability.metrics import Metrics


def broker(node: int, **fields: object) -> dict[str, object]:
    return {"nodeid": node, "state": "UP", "rtt": {"p99": 1_500}, "throttle": {"max": 0}} | fields


def document(**fields: object) -> str:
    brokers = {
        "seed/bootstrap": broker(-1),
        "a:1/1": broker(1, txerrs=2, req_timeouts=1),
        "GroupCoordinator": broker(1),
        "b:1/2": broker(2, state="DOWN", rtt={"p99": 40_000}, throttle={"max": 2_500}),
    }
    topics = {"t": {"partitions": {"0": {"fetchq_cnt": 3}, "-1": {"fetchq_cnt": 0}}}}
    return msgspec.json.encode({"brokers": brokers, "topics": topics, "msg_cnt": 4} | fields).decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"notifications_kafka_{name}", {"client": "producer", **labels})


def test_brokers_are_counted_once_and_the_slowest_speaks_for_all() -> None:
    metrics = Metrics()
    Statistics(metrics, "producer").heed(document())
    assert value(metrics, "brokers_up") == 1
    assert value(metrics, "request_p99_seconds") == 0.04
    assert value(metrics, "throttle_seconds") == 2.5
    assert value(metrics, "queued_records") == 7
    assert value(metrics, "request_errors_total", kind="not_sent") == 2
    assert value(metrics, "request_errors_total", kind="timed_out") == 1


def test_totals_grow_by_what_came_since_and_a_new_client_counts_on() -> None:
    metrics = Metrics()
    statistics = Statistics(metrics, "producer")
    for total in (10, 25, 25):
        statistics.heed(document(txmsgs=total, tx_bytes=total * 100))
    assert value(metrics, "records_total", direction="sent") == 25
    Statistics(metrics, "producer").heed(document(txmsgs=5))
    assert value(metrics, "records_total", direction="sent") == 30
    assert value(metrics, "bytes_total", direction="sent") == 2_500


def test_a_real_client_tells_its_statistics() -> None:
    metrics = Metrics()
    statistics = Statistics(metrics, "producer")
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **statistics.config(), "statistics.interval.ms": 50}
    producer = Producer(config)
    deadline = time.monotonic() + 60
    while value(metrics, "brokers_up") is None and time.monotonic() < deadline:
        producer.poll(0.1)
    assert value(metrics, "brokers_up") == 0
