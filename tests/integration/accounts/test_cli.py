"""The commands as people and programs run them: as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pipeline.config import KafkaSettings, Settings
from pipeline.events.vocabulary import Channel, Priority, Status
from pipeline.kafka.names import INGEST, ROUTER_GROUP, dispatch_topic, worker_group

if TYPE_CHECKING:
    from tests.integration.accounts.conftest import Pen

pytestmark = pytest.mark.broker

PUSH_HIGH = dispatch_topic(Channel.PUSH, Priority.HIGH)
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from pipeline.cli.root import main; main()"


def environment(bootstrap: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return {**ours, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": bootstrap}


def pipeline(kafka: KafkaSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(
        command, env=environment(kafka.bootstrap_servers), capture_output=True, text=True, timeout=60, check=False
    )


def test_accounts_says_by_its_exit_code_whether_all_is_accounted_for(settings: Settings, pen: "Pen") -> None:
    pen.decision("1")
    pen.status("1", Status.SENT)
    balanced = pipeline(settings.kafka, "accounts")
    assert balanced.returncode == 0, balanced.stderr
    assert "accepted 1 = terminal 1 + waiting 0 + in flight 0: balanced" in balanced.stdout
    pen.status("1", Status.FAILED, at=2)
    wrong = pipeline(settings.kafka, "accounts", "--json")
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["offenders"][0]["problem"] == "conflicting"


@pytest.mark.parametrize("command", [["accounts"], ["explain", "e"], ["status", "tail"]])
def test_a_kafka_that_is_away_is_one_clear_line_and_no_traceback(command: list[str]) -> None:
    began = time.monotonic()
    result = pipeline(KafkaSettings(bootstrap_servers="127.0.0.1:1"), *command)
    assert result.returncode == 1
    assert "cannot reach Kafka at 127.0.0.1:1" in result.stderr
    assert "PIPELINE_KAFKA__BOOTSTRAP_SERVERS" in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - began < 20


def test_tail_filters_and_stops_at_the_end(settings: Settings, pen: "Pen") -> None:
    for event in ("1", "2"):
        pen.status(event, Status.SENT)
    whole = ("status", "tail", "--from-beginning", "--until-end")
    everything = pipeline(settings.kafka, *whole)
    assert everything.returncode == 0, everything.stderr
    assert len(everything.stdout.splitlines()) == 2
    for narrow in (("--event", "2"), ("--recipient", "user-2")):
        lines = pipeline(settings.kafka, *whole, "--json", *narrow).stdout.splitlines()
        assert [json.loads(line)["event_id"] for line in lines] == ["2"]


def test_following_ends_with_ctrl_c_and_exit_code_0(settings: Settings, pen: "Pen") -> None:
    command = [sys.executable, "-u", "-c", MAIN, "status", "tail", "--from-beginning"]
    kafka = environment(settings.kafka.bootstrap_servers)
    pen.status("1", Status.SENT)
    with subprocess.Popen(command, env=kafka, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "sent" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_a_reader_that_goes_away_is_no_error(settings: Settings, pen: "Pen") -> None:
    for n in range(3):
        pen.status("1", Status.OPENED, at=n)
    command = f"'{sys.executable}' -c '{MAIN}' status tail --from-beginning --until-end | true"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=environment(settings.kafka.bootstrap_servers),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_explain_tells_what_was_decided_and_what_became_of_it(settings: Settings, pen: "Pen") -> None:
    pen.decision("1")
    pen.status("1", Status.SENT)
    told = pipeline(settings.kafka, "explain", "1")
    assert told.returncode == 0, told.stderr
    assert "push: terminal (sent). The provider accepted it." in told.stdout
    by_recipient = pipeline(settings.kafka, "explain", "1", "--recipient", "user-1", "--json")
    (channel,) = json.loads(by_recipient.stdout)["channels"]
    assert (channel["state"], channel["decision"]["verdict"]) == ("terminal", "dispatch")
    assert channel["doubt"] == ""
    unknown = pipeline(settings.kafka, "explain", "nobody")
    assert unknown.returncode == 1
    assert "no record of event nobody" in unknown.stderr


def test_explain_says_in_words_that_a_send_was_in_doubt(settings: Settings, pen: "Pen") -> None:
    pen.decision("1")
    pen.status("1", Status.RETRYING, in_doubt=True)
    pen.status("1", Status.SENT, at=2, in_doubt=True)
    told = pipeline(settings.kafka, "explain", "1")
    assert "in doubt: An answer had been lost, and it was sent again: it may have arrived twice." in told.stdout
    assert "The answer was lost, and it is tried again: it may arrive twice." in told.stdout
    (channel,) = json.loads(pipeline(settings.kafka, "explain", "1", "--json").stdout)["channels"]
    assert channel["doubt"].startswith("An answer had been lost")


def test_served_as_metrics_the_balance_says_what_is_lost_and_ends_when_told(settings: Settings, pen: "Pen") -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pen.decision("1")
    pen.status("1", Status.SENT)
    pen.decision("2", offset=1)
    for group, topic in ((ROUTER_GROUP, INGEST), (worker_group(Channel.PUSH, Priority.HIGH), PUSH_HIGH)):
        pen.finish(group, topic, dict.fromkeys(range(3), 0))
    command = [sys.executable, "-c", MAIN, "accounts", "--serve", "--every", "1"]
    kafka = {**environment(settings.kafka.bootstrap_servers), "PIPELINE_HTTP__PORT": str(port)}
    with subprocess.Popen(command, env=kafka, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = metrics_of(port, "notifications_accounts{")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    assert told['state="accepted"'] == 2
    assert told['state="unaccounted"'] == 1


def metrics_of(port: int, prefix: str) -> dict[str, float]:
    """The samples that begin so, by their labels, once there are any."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line.startswith(prefix)]
            if lines:
                return {line[len(prefix) : line.index("}")]: float(line.rpartition(" ")[2]) for line in lines}
        time.sleep(0.1)
    pytest.fail(f"no {prefix} within a minute")
