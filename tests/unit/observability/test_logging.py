import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.config import LogSettings
from pipeline.observability.logging import setup_logging


@pytest.fixture(autouse=True)
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().err)
    return line


def test_a_json_line_carries_the_promised_fields_and_the_extra_values(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(LogSettings(level="INFO", format="json"), service="router")
    logging.getLogger("pipeline.x").info("decided %d", 3, extra={"topic": "t", "offset": 7})
    line = logged(capsys)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "pipeline.x",
        "service": "router",
        "message": "decided 3",
        "topic": "t",
        "offset": 7,
    }


def test_an_exception_stays_on_the_line_of_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(LogSettings(format="json"), service="router")
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        logging.getLogger("pipeline.x").exception("failed")
    line = logged(capsys)
    assert "ValueError" in line["exception"]
    assert "hunter2" not in line["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_gets_into_a_log(capsys: pytest.CaptureFixture[str], form: str) -> None:
    setup_logging(LogSettings.model_validate({"format": form}), service="router")
    extra = {"dsn": "postgresql://a:hunter2@db", "auth_token": "hunter2", "wrapped": SecretStr("hunter2")}
    logging.getLogger("pipeline.x").warning("to redis://:hunter2@cache", extra=extra)
    assert "hunter2" not in capsys.readouterr().err


def test_libraries_are_quiet_below_warning(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(LogSettings(level="INFO", format="text"), service="router")
    logging.getLogger("aiokafka.consumer").info("joined")
    logging.getLogger("faust.worker").info("started")
    assert capsys.readouterr().err == ""
