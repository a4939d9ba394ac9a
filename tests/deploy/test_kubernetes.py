"""The Kubernetes manifests fit the schemas of Kubernetes, and say what the compose files say. (No cluster is asked.)"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import kubernetes_validate
import pytest

from tests.deploy.compose_files import DEPLOY, ROOT, Node, load, stages
from tests.deploy.kubernetes_files import (
    COMPONENTS,
    FOLDER,
    WORKLOADS,
    container,
    documents,
    kustomize,
    rendered,
    resources,
    workload,
)
from unikat_worker import worker
from unikat_worker.batches import thread
from unikat_worker.settings import Settings

__all__ = ["kustomize"]  # a fixture

VERSIONS: Final = ("1.30.0", "1.37.0")  # of Kubernetes: an old one knows no field that came later, a new one no old API
FILES: Final = ("compose.yaml", "compose.cpu.yaml", "compose.gallery.yaml", "compose.registry.yaml")
PROGRAMS: Final = ("valkey", "service", "worker", "gallery", "registry", "postgres")
PYTHON: Final = ("service", "worker", "gallery", "registry")
# What is not as compose has it. Pods have no folder in common; the rest is in Secrets.
OTHERWISE: Final = {"UNIKAT_DESTINATIONS": ("file:///out", "")}
IN_SECRETS: Final = re.compile(r"AWS_[A-Z_]+|UNIKAT_REDIS_URL")
KEDA: Final = {  # https://keda.sh/docs/2.22/reference/scaledobject-spec/
    "spec": {
        "scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount",
        "minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers",
    },
    "advanced": {"restoreToOriginalReplicaCount", "horizontalPodAutoscalerConfig", "scalingModifiers"},
    "trigger": {"type", "metadata", "name", "useCachedMetrics", "authenticationRef", "metricType"},
    # https://keda.sh/docs/2.22/scalers/prometheus/
    "metadata": {
        "serverAddress", "query", "threshold", "activationThreshold", "namespace", "customHeaders", "ignoreNullValues",
        "queryParameters", "unsafeSsl", "timeout", "authModes",
    },
}  # fmt: skip
each_program = pytest.mark.parametrize("name", PROGRAMS)


def compose(name: str, *files: str) -> Node:
    """A service of the compose files, with the defaults of its variables."""
    text = json.dumps(load(*(files or FILES))["services"][name])
    node: Node = json.loads(re.sub(r"\$\{[A-Z_]+:?-([^}]*)\}", r"\1", text))
    return node


def kinds(found: Iterable[Node], kind: str) -> dict[str, Node]:
    """By name."""
    return {node["metadata"]["name"]: node for node in found if node["kind"] == kind}


def settings() -> dict[str, str]:
    """What all programs are told."""
    (kustomization,) = documents(FOLDER / "base" / "kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def variables(node: Node) -> dict[str, str | None]:
    """Of a workload's container; None of what is in a Secret."""
    own = {each["name"]: each.get("value") for each in container(node).get("env", ())}
    return (settings() if "envFrom" in container(node) else {}) | own


def scaled_object() -> Node:
    (node,) = documents(FOLDER / "autoscaling" / "scaledobject.yaml")
    return node


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_fits_the_schema_of_kubernetes(version: str) -> None:
    for node in resources("base", *COMPONENTS):
        if node["kind"] != "ScaledObject":
            kubernetes_validate.validate(node, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(workload("worker") | {"sepc": {}}, version, strict=True)


def test_what_kustomize_makes_of_all_components_fits_too(kustomize: list[str], tmp_path: Path) -> None:
    found = rendered(kustomize, tmp_path, *COMPONENTS)
    for node in found:
        if node["kind"] in {*WORKLOADS, "ConfigMap", "Secret", "Service"}:  # what patches and generators make
            kubernetes_validate.validate(node, VERSIONS[-1], strict=True)
        assert node["metadata"].get("namespace", node["metadata"]["name"]) == "unikat"
    gpu = container(workload("worker", found))
    assert gpu["image"] == compose("worker", "compose.yaml")["image"]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "UNIKAT_PRELOAD", "value": "newest"} in gpu["env"]
    assert "replicas" not in workload("worker", found)["spec"]  # they are KEDA's
    tls = {each["name"]: each.get("value") for each in container(workload("service", found))["env"]}
    for name, value in load("compose.tls.yaml")["services"]["service"]["environment"].items():
        assert tls[name] == re.sub(r"\$\{[A-Z_]+:?-([^}]*)\}", r"\1", value)
    assert kinds(found, "Service")["service"]["spec"]["type"] == "LoadBalancer"


def test_the_base_goes_alone_and_as_it_comes(kustomize: list[str], tmp_path: Path) -> None:
    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    for number, chosen in enumerate([(), kustomization["components"]]):
        found = rendered(kustomize, tmp_path / str(number), *chosen)
        assert len({(node["kind"], node["metadata"]["name"]) for node in found}) == len(found)
        assert {name for name, node in kinds(found, "Deployment").items()} == {"service", "worker", *chosen}


@each_program
def test_a_pod_can_write_nothing_and_gain_nothing(name: str) -> None:
    spec = workload(name)["spec"]["template"]["spec"]
    for each in (*spec["containers"], *spec.get("initContainers", ())):
        assert each["securityContext"] == {
            "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    context = spec["securityContext"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    [user] = stages(f"{name}.Dockerfile")[-1].all("USER")
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    written = {mount["mountPath"] for mount in container(workload(name))["volumeMounts"] if not mount.get("readOnly")}
    volumes = {volume.split(":")[1] for volume in compose(name).get("volumes", ()) if isinstance(volume, str)} - {
        "/out"
    }
    tmpfs = {each.split(":")[0] for each in compose(name)["tmpfs"]} - {"/data"}
    assert written == volumes | tmpfs | ({"/tmp"} if name == "valkey" else set())


@each_program
def test_a_pod_is_checked_and_stopped_as_its_container_is(name: str) -> None:
    node, beside = workload(name), compose(name)
    probe = container(node)["readinessProbe"]
    check = beside["healthcheck"]
    assert ["CMD", *probe["exec"]["command"]] == check["test"]
    said = [f"{probe['periodSeconds']}s", f"{probe['timeoutSeconds']}s", probe["failureThreshold"]]
    assert said == [check["interval"], check["timeout"], check["retries"]]
    spec = node["spec"]["template"]["spec"]
    assert f"{spec['terminationGracePeriodSeconds']}s" == beside["stop_grace_period"]
    # A Valkey that is away makes pods unready; starting them again would not bring it back.
    assert "exec" not in container(node)["livenessProbe"]
    resourced = container(node)["resources"]
    assert {"cpu", "memory"} <= resourced["requests"].keys()
    assert "memory" in resourced["limits"]


def test_a_worker_has_the_time_that_it_takes_to_leave() -> None:
    longest = worker._GOODBYE + thread._LAST_FILES + thread._GOODBYE + Settings().batch_ms / 1000
    assert workload("worker")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > longest


@each_program
def test_images_commands_and_variables_are_those_of_compose(name: str) -> None:
    node, beside = workload(name), compose(name)
    assert container(node)["image"] == beside["image"]
    assert container(node).get("command") == beside.get("command")
    told, expected = variables(node), dict(beside.get("environment", {}))
    for variable, (in_compose, here) in OTHERWISE.items():
        if variable in expected:
            assert expected[variable] == in_compose
            expected[variable] = here
    secret = {variable for variable in expected if IN_SECRETS.fullmatch(variable)}
    assert {variable for variable, value in told.items() if value is None} == secret & told.keys()
    assert {k: v for k, v in told.items() if k not in secret} == {
        **(settings() if name in PYTHON else {}), **{k: v for k, v in expected.items() if k not in secret},
    }  # fmt: skip


@pytest.mark.parametrize("name", PYTHON)
def test_every_variable_is_a_setting(name: str) -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for variable in variables(workload(name)):
        assert f"| `{variable}` |" in page, variable


def test_secrets_are_what_compose_has_without_passwords() -> None:
    (kustomization,) = documents(FOLDER / "base" / "kustomization.yaml")
    (generated,) = kustomization["secretGenerator"]
    literals = dict(literal.split("=", 1) for literal in generated["literals"])
    assert literals.pop("users.acl") == (DEPLOY / "open.acl").read_text(encoding="utf-8").strip()
    assert literals == {
        f"UNIKAT_{name.upper()}_REDIS_URL": compose(name)["environment"]["UNIKAT_REDIS_URL"]
        for name in ("service", "worker")
    }  # the names in compose.env of `unikat keys redis`, which takes their place
    for node in resources("base", *COMPONENTS):
        assert node["kind"] != "Secret"


def test_nobody_outside_of_the_namespace_reaches_more_than_numbers_and_the_gallery() -> None:
    policies = kinds(resources("base", "gallery", "registry"), "NetworkPolicy")
    outside = {
        name: [port["port"] for port in rule["ports"]]
        for name, node in policies.items()
        for rule in node["spec"]["ingress"]
        if any("namespaceSelector" in peer for peer in rule.get("from", [{"namespaceSelector": {}}]))
    }
    metrics = int(settings()["UNIKAT_METRICS"].rpartition(":")[2])
    assert outside == {"inside": [metrics], "gallery": [8080]}
    (database,) = policies["postgres"]["spec"]["ingress"]
    assert database["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "registry"}}}]


def test_what_is_scraped_is_where_numbers_are() -> None:
    for name in PYTHON:
        port = settings()["UNIKAT_METRICS"].rpartition(":")[2]
        annotations = workload(name)["spec"]["template"]["metadata"]["annotations"]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": port}
        assert {"name": "metrics", "containerPort": int(port)} in container(workload(name))["ports"]


def test_what_selects_selects_what_there_is() -> None:
    every = [*resources("base", "gallery", "registry")]
    named = {
        node["metadata"]["name"]: node["spec"]["template"]["metadata"]["labels"]
        for node in every if node["kind"] in WORKLOADS
    }  # fmt: skip
    assert set(kinds(every, "PodDisruptionBudget")) == {"service", "worker"}  # those of which there are several
    for name, node in kinds(every, "Service").items():
        assert node["spec"]["selector"] == named[name]
        port, inside = node["spec"]["ports"][0], container(workload(name))["ports"]
        assert port["port"] in [each["containerPort"] for each in inside]
    for name, node in kinds(every, "PodDisruptionBudget").items():
        assert node["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": named[name]}}


def test_the_scaled_object_says_what_keda_reads() -> None:
    node = scaled_object()
    assert (node["apiVersion"], node["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    spec = node["spec"]
    assert spec.keys() <= KEDA["spec"]
    assert spec["scaleTargetRef"] == {"name": workload("worker")["metadata"]["name"]}
    assert spec["minReplicaCount"] == 1
    assert spec["advanced"].keys() <= KEDA["advanced"]
    for trigger in spec["triggers"]:
        assert trigger.keys() <= KEDA["trigger"]
        assert trigger["type"] == "prometheus"
        assert trigger["metadata"].keys() <= KEDA["metadata"]
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_what_keda_makes_of_it_fits_the_schema_of_kubernetes() -> None:
    """The HorizontalPodAutoscaler that it makes: https://keda.sh/docs/2.22/concepts/scaling-deployments/."""
    spec = scaled_object()["spec"]
    metrics = [
        {
            "type": "External",
            "external": {
                "metric": {"name": f"s{number}-prometheus"},
                "target": {"type": trigger["metricType"], "averageValue": trigger["metadata"]["threshold"]},
            },
        }
        for number, trigger in enumerate(spec["triggers"])
    ]
    made = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-worker"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
            "minReplicas": spec["minReplicaCount"], "maxReplicas": spec["maxReplicaCount"], "metrics": metrics,
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }  # fmt: skip
    for version in VERSIONS:
        kubernetes_validate.validate(made, version, strict=True)
