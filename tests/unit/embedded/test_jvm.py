from pathlib import Path

import pytest

from pipeline.embedded import jvm
from pipeline.embedded.kafka_node import node_properties


@pytest.mark.parametrize(
    ("says", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_401"\nJava(TM) SE Runtime Environment', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_the_java_release_is_read_from_every_spelling(says: str, release: int | None) -> None:
    assert jvm.parse_java_version(says) == release


def test_no_java_is_an_obstacle_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "no `java`" in (jvm.obstacle() or "")


def test_an_old_java_is_an_obstacle_that_names_its_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_java(tmp_path, "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert jvm.obstacle() == "`java` is version 11, Kafka needs 17"


def test_a_java_without_maven_will_do_once_the_jars_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_java(tmp_path, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/bin:/usr/bin" if not Path("/usr/bin/mvn").exists() else "/bin-without-maven")
    monkeypatch.setattr(jvm, "jars", lambda: tmp_path / "jars")
    assert "mvn" in (jvm.obstacle() or "")
    (tmp_path / "jars").mkdir()
    assert jvm.obstacle() is None


def test_a_single_node_replicates_nothing_and_takes_the_largest_record_of_our_producers() -> None:
    properties = node_properties(listen="", advertised="h", port=1, controller_port=2)
    assert {value for name, value in properties.items() if name.endswith("replication.factor")} == {"1"}
    assert int(properties["message.max.bytes"]) > 4 * 1024 * 1024
    assert properties["auto.create.topics.enable"] == "false"


def _fake_java(home: Path, version: str) -> None:
    program = home / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
