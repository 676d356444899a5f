"""Prometheus beside the line, where the system has it: scrapes every service, with the alert rules of the repository."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import HOST, Server, free_port
from pipeline.errors import ConfigurationError

PROGRAM = "prometheus"
SCRAPE_SECONDS = 5
RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
"""The rules as they are in a checkout; an installed wheel has none, and then there are none."""


def open_prometheus(
    supervisor: Supervisor, ports: Mapping[str, int], *, every: int = SCRAPE_SECONDS, rules: Path = RULES
) -> str:
    """Start it; returns its URL. `ports`: where each service has its metrics. `every`: seconds between two scrapes.

    Raises:
        ConfigurationError: the program is not there.
        Unavailable: it does not start.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise ConfigurationError(f"there is no program {PROGRAM}: install it (Debian: apt-get install prometheus)")
    home, port = supervisor.make_directory(PROGRAM), free_port()
    config = home / "prometheus.json"
    config.write_text(json.dumps(_config(ports, every, rules)), encoding="utf-8")
    url = f"http://{HOST}:{port}"
    argv = (
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    )
    Server(supervisor.child(Command(name=PROGRAM, argv=argv, patience=5)), lambda: _ready(url)).start()
    return url


def _config(ports: Mapping[str, int], every: int, rules: Path) -> dict[str, object]:
    """YAML that is JSON as well."""
    targets = [{"targets": [f"{HOST}:{port}"], "labels": {"service": name}} for name, port in ports.items()]
    return {
        "global": {"scrape_interval": f"{every}s", "evaluation_interval": f"{every}s"},
        "rule_files": [str(path) for path in sorted(rules.glob("*.yaml"))],
        "scrape_configs": [{"job_name": "notifications", "static_configs": targets}],
    }


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
