"""The Helm chart, rendered by Helm itself: what reaches the cluster, for the defaults and for every example."""

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, SecretStr

from pipeline.config import Settings
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka import names

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm"
EXAMPLES = ["defaults", *(path.name for path in sorted((CHART / "examples").glob("*.yaml")))]
KUBERNETES = ("1.30", "1.37")
FOREIGN = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
GROUPS = {
    names.INGEST: names.ROUTER_GROUP,
    names.DEFERRED: names.SCHEDULER_GROUP,
    names.DELIVERY_STATUS: names.STORE_GROUP,
    **{names.dispatch_topic(c, p): names.worker_group(c, p) for c in Channel for p in Priority},
}
STRING = {"type": "string"}
KAFKA_TRIGGER = {  # https://keda.sh/docs/latest/scalers/apache-kafka/
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "metadata"],
    "properties": {
        "type": {"const": "kafka"},
        "authenticationRef": {"type": "object", "required": ["name"]},
        "metadata": {
            "type": "object",
            "required": ["bootstrapServers", "consumerGroup", "topic", "lagThreshold"],
            "properties": {
                "lagThreshold": {"type": "string", "pattern": "^[1-9][0-9]*$"},
                "offsetResetPolicy": {"enum": ["earliest", "latest"]},
                "allowIdleConsumers": {"enum": ["true", "false"]},
            },
            "additionalProperties": STRING,
        },
    },
}
SCALED_OBJECT = {  # https://keda.sh/docs/latest/reference/scaledobject-spec/
    "type": "object",
    "additionalProperties": False,
    "required": ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"],
    "properties": {
        "scaleTargetRef": {"type": "object", "required": ["name"]},
        "minReplicaCount": {"type": "integer", "minimum": 1},
        "maxReplicaCount": {"type": "integer", "minimum": 1},
        "pollingInterval": {"type": "integer", "minimum": 1},
        "fallback": {
            "type": "object",
            "additionalProperties": False,
            "required": ["failureThreshold", "replicas"],
            "properties": {
                "failureThreshold": {"type": "integer"},
                "replicas": {"type": "integer"},
                "behavior": {
                    "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
                },
            },
        },
        "advanced": {"type": "object", "properties": {"horizontalPodAutoscalerConfig": {"type": "object"}}},
        "triggers": {"type": "array", "minItems": 1, "items": KAFKA_TRIGGER},
    },
}

Manifest = dict[str, Any]
pytestmark = pytest.mark.parametrize("example", EXAMPLES)


def values_of(example: str) -> Manifest:
    if example == "defaults":
        return {}
    values: Manifest = yaml.safe_load((CHART / "examples" / example).read_text())
    return values


def render(values: Manifest) -> list[Manifest]:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values=values, name="n", namespace="notifications")
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


@functools.cache
def manifests(example: str) -> list[Manifest]:
    return render(values_of(example))


def merged(example: str) -> Manifest:
    with helm.Chart.load(CHART) as chart:
        return chart.merge_values(values_of(example))


def of_kind(example: str, *kinds: str) -> list[Manifest]:
    return [m for m in manifests(example) if m["kind"] in kinds]


def pods(example: str) -> Iterator[tuple[str, Manifest]]:
    for m in of_kind(example, "Deployment", "Job"):
        yield m["metadata"]["name"], m["spec"]["template"]["spec"]
    for m in of_kind(example, "Pod"):
        yield m["metadata"]["name"], m["spec"]


def topics_of(deployment: Manifest) -> list[str]:
    """What a worker's command line makes it read."""
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    if args[0] != "worker":
        return []
    channel, priorities = Channel(args[args.index("--channel") + 1]), args[args.index("--priority") + 1]
    return [names.dispatch_topic(channel, Priority(p)) for p in priorities.split(",")]


def selects(selector: Manifest, labels: Manifest) -> bool:
    return bool(selector["matchLabels"].items() <= labels.items())


def test_helm_lint_finds_nothing_wrong(example: str) -> None:
    found = helm.lint(CHART, values_of(example), strict=True)

    assert found["errors"] == []
    assert [m for m in found["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_in_the_oldest_and_newest_kubernetes(example: str, version: str) -> None:
    for manifest in manifests(example):
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_no_two_objects_have_one_name(example: str) -> None:
    counts = Counter((m["kind"], m["metadata"]["name"]) for m in manifests(example))

    assert [name for name, count in counts.items() if count > 1] == []


def test_each_dispatch_topic_is_read_by_one_deployment(example: str) -> None:
    read = Counter(topic for d in of_kind(example, "Deployment") for topic in topics_of(d))

    assert read == Counter(names.DISPATCH_TOPICS)


def test_keda_watches_the_topics_that_its_deployment_reads_by_their_groups(example: str) -> None:
    deployments = {d["metadata"]["name"]: d for d in of_kind(example, "Deployment")}
    validator = jsonschema_rs.validator_for(SCALED_OBJECT)
    for scaled in of_kind(example, "ScaledObject"):
        validator.validate(scaled["spec"])
        deployment = deployments[scaled["spec"]["scaleTargetRef"]["name"]]
        watched = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]

        assert {w["topic"]: w["consumerGroup"] for w in watched}.items() <= GROUPS.items()
        assert topics_of(deployment) in ([], [w["topic"] for w in watched])


@pytest.mark.parametrize("partitions", [1, 5, 12])
def test_every_scaled_reader_has_at_most_a_replica_for_each_partition(example: str, partitions: int) -> None:
    objects = render({**values_of(example), "topics": {"partitions": partitions, "override": True}})
    public = {"n-notification-pipeline-gateway", "n-notification-pipeline-realtime"}
    for scaled in (o for o in objects if o["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}):
        spec = scaled["spec"]
        most = spec.get("maxReplicaCount", spec.get("maxReplicas"))
        least = spec.get("minReplicaCount", spec.get("minReplicas"))

        assert least <= most
        assert spec["scaleTargetRef"]["name"] in public or most <= partitions


def test_one_autoscaler_and_no_replica_count_of_its_own_for_each_deployment(example: str) -> None:
    scaled = Counter(
        s["spec"]["scaleTargetRef"]["name"] for s in of_kind(example, "ScaledObject", "HorizontalPodAutoscaler")
    )
    automatic = merged(example)["autoscaling"]["kind"] != "none"
    for deployment in of_kind(example, "Deployment"):
        assert scaled[deployment["metadata"]["name"]] == automatic
        assert ("replicas" in deployment["spec"]) is not automatic


def test_every_pod_meets_the_restricted_profile(example: str) -> None:
    for name, pod in pods(example):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name


def test_every_container_says_what_it_needs(example: str) -> None:
    for name, pod in pods(example):
        for container in pod["containers"]:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_every_pod_has_longer_to_stop_than_the_drain_takes(example: str) -> None:
    drain = merged(example)["settings"]["delivery"]["drain_timeout"]
    for name, pod in pods(example):
        assert pod["terminationGracePeriodSeconds"] >= drain + 20, name


def test_every_deployment_has_probes_a_budget_a_spread_and_a_network_policy(example: str) -> None:
    for deployment in of_kind(example, "Deployment"):
        template = deployment["spec"]["template"]
        container, labels = template["spec"]["containers"][0], template["metadata"]["labels"]

        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert len(template["spec"]["topologySpreadConstraints"]) == 2
        assert "checksum/settings" in template["metadata"]["annotations"]
        assert sum(selects(b["spec"]["selector"], labels) for b in of_kind(example, "PodDisruptionBudget")) == 1
        assert sum(selects(p["spec"]["podSelector"], labels) for p in of_kind(example, "NetworkPolicy")) == 1


def test_only_in_app_workers_routers_and_schedulers_are_kept_from_the_internet(example: str) -> None:
    offline = {"router", "scheduler", "accounts"}
    for policy in of_kind(example, "NetworkPolicy"):
        workload = policy["spec"]["podSelector"]["matchLabels"].get("notifications/workload", "")
        online = any(
            "ipBlock" in to and to["ipBlock"]["cidr"] == "0.0.0.0/0" for e in policy["spec"]["egress"] for to in e["to"]
        )
        if workload:
            assert online is not (workload in offline or workload.startswith("worker-in-app")), workload


def test_hooks_bring_everything_that_they_use(example: str) -> None:
    early = {
        (m["kind"], m["metadata"]["name"])
        for m in manifests(example)
        if "pre-install" in m["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    for job in of_kind(example, "Job"):
        pod = job["spec"]["template"]["spec"]
        used = {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}

        assert ("ServiceAccount", pod["serviceAccountName"]) in early
        assert {("ConfigMap", name) for name in used} <= early


def test_the_settings_are_settings_that_the_services_take(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = next(m for m in of_kind(example, "ConfigMap"))
    path = tmp_path / "settings.yaml"
    path.write_text(config["data"]["settings.yaml"])
    monkeypatch.setenv("PIPELINE_CONFIG", str(path))

    assert Settings.load().kafka.bootstrap_servers == merged(example)["settings"]["kafka"]["bootstrap_servers"]


def test_secrets_are_mounted_where_they_are_needed_and_come_by_no_other_way(example: str) -> None:
    assert of_kind(example, "Secret") == []
    for secret in merged(example)["secrets"]:
        for deployment in of_kind(example, "Deployment"):
            template = deployment["spec"]["template"]
            mounted = [
                item["key"]
                for volume in template["spec"]["volumes"]
                for source in volume.get("projected", {}).get("sources", [])
                if source["secret"]["name"] == secret["secret"]
                for item in source["secret"]["items"]
            ]
            component = template["metadata"]["labels"]["app.kubernetes.io/component"]
            args = template["spec"]["containers"][0]["args"]
            wanted = component in (secret.get("components") or [component])
            wanted = wanted and (
                not secret.get("channels") or (component == "worker" and args[2] in secret["channels"])
            )

            assert (secret["key"] in mounted) is wanted, (secret["setting"], deployment["metadata"]["name"])


def secret_settings(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from secret_settings(kind, (*path, name))
        elif kind is SecretStr:
            yield (*path, name)


def test_no_secret_setting_is_taken_as_a_value(example: str) -> None:
    found = list(secret_settings(Settings))
    assert found
    for path in found:
        values: Any = "hunter2"
        for part in reversed(path):
            values = {part: values}
        with pytest.raises(helm.HelmError):
            render({**values_of(example), "settings": {"kafka": {"bootstrap_servers": "k:9092"}, **values}})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"worker": []}, "worker"),
        ({"router": {"enabled": True, "replica": 3}}, "replica"),
        ({"workers": [{"name": "push", "channel": "push", "priorities": ["critical"]}]}, "nobody reads push × high"),
        ({"terminationMargin": 1}, "terminationMargin"),
        ({"settings": {"redis": {"url": "redis://user:hunter2@redis:6379"}}}, "url"),
    ],
)
def test_wrong_values_are_refused(example: str, wrong: Manifest, says: str) -> None:
    with pytest.raises(helm.HelmError, match=says):
        render({**values_of(example), **wrong})


def test_a_topic_read_twice_is_refused(example: str) -> None:
    workers = merged(example)["workers"]
    with pytest.raises(helm.HelmError, match="is read by"):
        render(
            {**values_of(example), "workers": [*workers, {"name": "again", "channel": "sms", "priorities": ["low"]}]}
        )


def test_the_partitions_are_those_of_the_topic_files(example: str) -> None:
    files = [
        yaml.safe_load((ROOT / "topics" / f"{name}.yaml").read_text()) for name in ("dispatch", "ingest", "deferred")
    ]

    assert {file["partitions"] for file in files} == {merged(example)["topics"]["partitions"]}
