import socket

import aiohttp
import pytest

from pipeline.config import HttpSettings
from pipeline.errors import ConfigurationError
from pipeline.observability.health import Health
from pipeline.observability.http import serve_health
from pipeline.observability.metrics import Metrics


async def test_ready_only_once_everything_is_there_and_alive_from_the_start() -> None:
    health = Health("kafka")
    async with serve_health(HttpSettings(), health, Metrics()) as url, aiohttp.ClientSession(url) as http:
        assert (await http.get("/healthz")).status == 200
        refused = await http.get("/readyz")
        assert refused.status == 503
        assert (await refused.json())["missing"] == ["kafka"]
        health.set("kafka", ok=True)
        assert (await http.get("/readyz")).status == 200


async def test_a_service_that_gave_up_is_reported_dead() -> None:
    health = Health()
    health.give_up("fenced")
    async with serve_health(HttpSettings(), health, Metrics()) as url, aiohttp.ClientSession(url) as http:
        assert (await http.get("/healthz")).status == 503


async def test_metrics_are_in_the_format_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.dispatched.labels("push", "high").inc(3)
    health = Health("redis")
    async with serve_health(HttpSettings(), health, metrics) as url, aiohttp.ClientSession(url) as http:
        answer = await http.get("/metrics")
        text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'notifications_dispatched_total{channel="push",priority="high"} 3.0' in text
    assert 'notifications_dependency_up{dependency="redis"} 0.0' in text


async def test_a_port_that_is_taken_is_a_configuration_error_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="PIPELINE_HTTP__PORT"):
            async with serve_health(HttpSettings(port=port), Health(), Metrics()):
                pass
