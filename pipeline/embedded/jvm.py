"""Apache Kafka on the local JVM: fetched once by Maven into the user's cache, one node, data in a scratch directory."""

import base64
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import platformdirs

from pipeline.embedded.kafka_node import KAFKA_VERSION, answers, node_properties
from pipeline.embedded.processes import Child, Command, Supervisor
from pipeline.embedded.servers import HOST, Restartable, Server, free_port, listens

FILES = Path(__file__).parent / "kafka"
JAVA_AT_LEAST = 17
JAVA_TIMEOUT = 10.0
FETCH_TIMEOUT = 150.0
FORMAT_TIMEOUT = 60.0
STOP_PATIENCE = 30.0

JAVA_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={FILES / 'log4j2.properties'}",
)
FORMAT_OPTIONS = (*JAVA_OPTIONS, "-XX:TieredStopAtLevel=1")


def obstacle() -> str | None:
    """Why this machine cannot run it; None if it can (Maven may still fail to fetch it)."""
    found = parse_java_version(_java_says(_java_program()))
    if found is None:
        return f"no `java` of version {JAVA_AT_LEAST} or newer on PATH or in JAVA_HOME"
    if found < JAVA_AT_LEAST:
        return f"`java` is version {found}, Kafka needs {JAVA_AT_LEAST}"
    if not jars().is_dir() and shutil.which("mvn") is None:
        return "no `mvn` on PATH to fetch it with"
    return None


def open_kafka(supervisor: Supervisor) -> tuple[str, Restartable]:
    """Fetch Kafka if need be, start it, and return its address and the server.

    Raises:
        Unavailable: Maven cannot fetch it, or it does not start.
    """
    libraries = _fetched_jars(supervisor)
    home, port = supervisor.make_directory("kafka"), free_port()
    properties = dict(node_properties(listen=HOST, advertised=HOST, port=port, controller_port=free_port()))
    properties["log.dirs"] = str(home / "data")
    file = home / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    _format(supervisor, libraries, file)
    bootstrap = f"{HOST}:{port}"
    server = Server(_child(supervisor, libraries, home, file), lambda: listens(port) and answers(bootstrap))
    server.start()
    return bootstrap, server


def _child(supervisor: Supervisor, libraries: Path, home: Path, properties: Path) -> Child:
    """Kafka, started from an archive of loaded classes, which halves the time; where there is none, its stop makes it."""
    archive, made = _archive(libraries), home / "classes.jsa"
    known = archive.is_file()
    option = f"-XX:SharedArchiveFile={archive}" if known else f"-XX:ArchiveClassesAtExit={made}"
    argv = _java((*JAVA_OPTIONS, option), libraries, "kafka.Kafka", str(properties))
    child = supervisor.child(Command(name="kafka", argv=argv, patience=STOP_PATIENCE, serves=True))
    if not known:
        supervisor.on_close(lambda: _keep(made, archive) if child.poll() != -signal.SIGKILL else None)
    return child


def _archive(libraries: Path) -> Path:
    """One for each Java: another would refuse it."""
    says = hashlib.sha256(_java_says(_java_program()).encode()).hexdigest()[:8]
    return libraries.with_name(f"{libraries.name}-java-{says}.jsa")


def _keep(made: Path, archive: Path) -> None:
    if made.is_file():
        partial = archive.with_suffix(f".{os.getpid()}")
        shutil.copyfile(made, partial)
        partial.replace(archive)


def jars() -> Path:
    """Where the cache keeps Kafka's jars: another version or another pom is another directory."""
    digest = hashlib.sha256((FILES / "pom.xml").read_bytes()).hexdigest()[:8]
    return platformdirs.user_cache_path("notification-pipeline") / f"kafka-{KAFKA_VERSION}-{digest}"


def _fetched_jars(supervisor: Supervisor) -> Path:
    target = jars()
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_name(f"{target.name}.lock")):
            if not target.is_dir():
                _fetch(supervisor, target)
    return target


def _fetch(supervisor: Supervisor, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as scratch:
        fetched = Path(scratch) / "jars"
        supervisor.run(_maven(fetched), FETCH_TIMEOUT)
        fetched.rename(target)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Other programs wait: Maven's own cache does not bear two that fill it at the same time."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _maven(target: Path) -> Command:
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}")
    options = ("--quiet", "--batch-mode", "--file", str(FILES / "pom.xml"), f"-Dkafka.version={KAFKA_VERSION}")
    return Command(name="maven", argv=("mvn", *options, *goal))


def _format(supervisor: Supervisor, libraries: Path, properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    arguments = ("format", f"--cluster-id={cluster}", "--config", str(properties))
    argv = _java(FORMAT_OPTIONS, libraries, "kafka.tools.StorageTool", *arguments)
    supervisor.run(Command(name="kafka-format", argv=argv), FORMAT_TIMEOUT)


def _java(options: tuple[str, ...], libraries: Path, main: str, *arguments: str) -> tuple[str, ...]:
    return (_java_program(), *options, "-cp", f"{libraries}/*", main, *arguments)


def _java_program() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


@cache
def _java_says(program: str) -> str:
    """What ``java -version`` says; empty if it cannot be run."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, check=True, timeout=JAVA_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stderr


def parse_java_version(text: str) -> int | None:
    """The feature release in what ``java -version`` says: ``"17.0.15"`` is 17, ``"1.8.0_401"`` is 8."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None
