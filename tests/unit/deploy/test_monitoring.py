"""Alerts and dashboards: each asks for what is exported, each alert is proved and has its page."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from pipeline.observability.boards.files import DASHBOARDS, files
from pipeline.observability.boards.promql import exported, grouped, read

ROOT = Path(__file__).resolve().parents[3]
RULES = sorted((ROOT / "deploy" / "prometheus").glob("*.yaml"))
PROOFS = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")

Rule = dict[str, Any]


def rules() -> list[Rule]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
SERIES = exported() | {rule["record"]: frozenset({"slo"}) for rule in rules() if "record" in rule}


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for board in DASHBOARDS:
        for panel in board.panels:
            for query in panel.queries:
                yield f"{board.uid}: {panel.title}", query.expression


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is not None:
        return found
    message = "promtool is not here, so that the alerts are not proved (Debian: apt-get install prometheus)"
    if IN_CI:
        pytest.fail(message)
    pytest.skip(message)


def run(*command: str | Path) -> str:
    """What it says; fails with that where it does not succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nobody_asks_for_a_metric_or_a_label_that_is_not_exported() -> None:
    for where, expression in expressions():
        asked = read(expression)
        assert asked.keys() <= SERIES.keys(), f"{where}: nobody exports {asked.keys() - SERIES.keys()}"
        for name, labels in asked.items():
            assert labels <= SERIES[name], f"{where}: {name} has no label {labels - SERIES[name]}"
        known = {"slo"}.union(*(SERIES[name] for name in asked))
        assert grouped(expression) <= known, f"{where}: none of its metrics has {grouped(expression) - known}"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (a) (rate(x_total{b="y", c=~"z{1}"}[5m])) > 1e3', {"x_total": {"b", "c"}}),
        ("a:b / on (q) group_left (z) c unless d offset 5m", {"a:b": set(), "c": set(), "d": set()}),
        (
            'histogram_quantile(0.9, sum by (le) (h_bucket)) or vector(0) and count(ALERTS{x!="y"})',
            {"h_bucket": set(), "ALERTS": {"x"}},
        ),
        ("time() - max(t_seconds) > 14 * 86400", {"t_seconds": set()}),
    ],
)
def test_the_names_that_an_expression_reads_are_found(expression: str, names: dict[str, set[str]]) -> None:
    assert read(expression) == names


@pytest.mark.parametrize("name", files())
def test_a_file_that_is_made_is_current(name: str) -> None:
    assert (ROOT / "deploy" / name).read_text() == files()[name], "make it anew: .venv/bin/pipeline docs dashboards"


def test_no_dashboard_is_left_from_before() -> None:
    there = {f"grafana/{path.name}" for path in (ROOT / "deploy" / "grafana").iterdir()}
    assert there == {name for name in files() if name.startswith("grafana/")}


def test_panels_stand_beside_each_other_and_have_ids_of_their_own() -> None:
    for board in DASHBOARDS:
        panels = json.loads(files()[f"grafana/{board.uid}.json"])["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for place in (panel["gridPos"] for panel in panels):
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, board.uid
            taken |= cells


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_leads_to_its_page(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == alert.lower()
    sections = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)
    (section,) = [section for section in sections if section.split("\n")[0] == alert]
    assert len(section.split()) > 10


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in PROOFS:
        for proof in yaml.safe_load(path.read_text())["tests"]:
            for case in proof.get("alert_rule_test", ()):
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
            for case in proof.get("promql_expr_test", ()):
                (pattern,) = re.findall(r'alertname=~?"([^"]+)"', case["expr"]) or [".*"]
                about = {alert for alert in ALERTS if re.fullmatch(pattern, alert)}
                told = " ".join(sample["labels"] for sample in case["exp_samples"])
                named = set(re.findall(r'alertname="(\w+)"', told))
                fires |= named or (about if case["exp_samples"] and len(about) == 1 else set())
                silent |= set() if case["exp_samples"] else about
    assert ALERTS.keys() <= fires
    assert ALERTS.keys() <= silent


def test_the_rules_are_rules(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "check", "rules", *RULES)


def test_alerts_fire_on_their_case_and_on_no_other(promtool: str) -> None:
    assert run(promtool, "test", "rules", *PROOFS).count("SUCCESS") == len(PROOFS)


def test_every_query_of_a_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    queries = [query.expression for board in DASHBOARDS for panel in board.panels for query in panel.queries]
    recorded = [
        {"record": f"q:{n}", "expr": query.replace("$__rate_interval", "5m")} for n, query in enumerate(queries)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    assert "SUCCESS" in run(promtool, "check", "rules", path)


def test_the_chart_brings_the_same_rules() -> None:
    with helm.Chart.load(ROOT / "deploy" / "helm") as chart:
        made = chart.render(values={"monitoring": {"prometheusRule": True}}, name="n", namespace="n")
    manifests = [text for path, text in made.items() if path.endswith(".yaml")]
    documents = [document for text in manifests for document in yaml.safe_load_all(text) if document]
    (rule,) = [document for document in documents if document["kind"] == "PrometheusRule"]
    assert rule["spec"]["groups"] == [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def test_the_chart_says_where_the_runbooks_are() -> None:
    values = {"monitoring": {"prometheusRule": True, "runbooks": "https://git.example.com/pipeline/blob/main/"}}
    with helm.Chart.load(ROOT / "deploy" / "helm") as chart:
        made = chart.render(values=values, name="n", namespace="n")
    urls = [line for text in made.values() for line in text.splitlines() if "runbook_url" in line]
    assert len(urls) == len(ALERTS)
    assert all("runbook_url: https://git.example.com/pipeline/blob/main/docs/runbooks/" in url for url in urls)


def test_the_chart_lets_spans_out_where_they_are_wanted() -> None:
    def ports(**tracing: str) -> set[int]:
        values = {"settings": {"kafka": {"bootstrap_servers": "k:9092"}, **({"tracing": tracing} if tracing else {})}}
        with helm.Chart.load(ROOT / "deploy" / "helm") as chart:
            made = chart.render(values=values, name="n", namespace="n")
        (text,) = [text for path, text in made.items() if path.endswith("networkpolicies.yaml")]
        egress = [rule for policy in yaml.safe_load_all(text) if policy for rule in policy["spec"]["egress"]]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert 4318 not in ports()
    assert 4318 in ports(endpoint="http://collector.observability.svc:4318/v1/traces")


def test_compose_mounts_rules_and_dashboards() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())["services"]
    assert "./deploy/prometheus:/etc/prometheus/rules:ro" in services["prometheus"]["volumes"]
    assert "./deploy/grafana:/var/lib/grafana/dashboards:ro" in services["grafana"]["volumes"]
    config = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    assert config["rule_files"] == ["/etc/prometheus/rules/*.yaml"]
