"""Prometheus' configuration, alerts and dashboards: they load, and ask for nothing that no program says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.compose_files import DEPLOY, ROOT, Node, load
from tests.support.scrapes import Scrape, promtool, scrape
from tests.tools.dashboards import BLOCKED, CALM, FULL, KILLED, course
from tests.tools.metrics import DOCUMENT, NOBODY, observed_programs, tables
from unikat_gallery.metrics import NO_ROUTE

__all__ = ["promtool"]  # a fixture

FOLDER: Final = DEPLOY / "observability"
DASHBOARDS: Final = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
STACK: Final = ("compose.yaml", "compose.cpu.yaml", "compose.observability.yaml")
OWN: Final = re.compile(r"\b(?:unikat|process)_[a-z_]+\b")  # names of metrics in an expression
LABELS: Final = {
    "model", "kind", "caller_class", "method", "code", "reason", "setting", "ending", "size", "route", "le",
}  # fmt: skip
WORKERS: Final = "unikat_service_workers"
BATCH: Final = 'unikat_batches_images{model="a@1"}'
WRITTEN: Final = 'unikat_worker_written_images_total{model="a@1"}'
IN_HAND: Final = 'unikat_worker_work_seconds{{model="a@1", kind="{}"}}'


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scrape]]:
    with observed_programs(tmp_path_factory.mktemp("observed")) as programs:
        yield {name: scrape(program) for name, program in programs.items()}


@pytest.fixture(scope="module")
def names(scrapes: dict[str, Scrape]) -> set[str]:
    """Of every sample that a program says."""
    return {sample.name for each in scrapes.values() for family in each.families for sample in family.samples}


def rules() -> list[Node]:
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard(path: Path) -> Node:
    loaded: Node = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def expressions(node: Any) -> Iterator[str]:  # noqa: ANN401  # JSON
    """Every `expr` and every query of a variable, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def test_the_tables_of_the_page_say_what_programs_say(scrapes: dict[str, Scrape]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(tables(scrapes)) in text, "run `python -m tests.tools.metrics --write`"


def test_every_name_follows_the_rules_of_prometheus(scrapes: dict[str, Scrape]) -> None:
    for program, found in scrapes.items():
        for family in found.families:
            if family.name.startswith("process_"):
                continue  # prometheus-client's
            assert re.fullmatch(rf"unikat_({program}|queue|batches)(_[a-z]+)+", family.name)
            assert family.documentation.endswith((".", "maxmemory", ")")), family.name
            assert family.type in ("counter", "gauge", "histogram")
            assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|mb|total|count)(_|$)", family.name)
            for sample in family.samples:
                assert (family.type == "counter") == sample.name.endswith("_total")
                assert set(sample.labels) <= LABELS


def test_no_label_says_what_a_caller_chose(scrapes: dict[str, Scrape]) -> None:
    models = {"tiny@1", ""}
    assert scrapes["service"].total("unikat_service_requests_total", method="Draw", reason="MODEL_NOT_FOUND") == 1
    for found in scrapes.values():
        assert not [
            sample for family in found.families for sample in family.samples if NOBODY in sample.labels.values()
        ]
        assert {sample.labels.get("model", "") for family in found.families for sample in family.samples} <= models
    routes = set(scrapes["gallery"].by("unikat_gallery_requests_total", "route"))
    assert routes == {"/", NO_ROUTE, "/v1/models", "/static"}


@pytest.mark.parametrize("program", ["service", "worker", "registry", "gallery"])
def test_promtool_has_nothing_to_say_of_a_scrape(scrapes: dict[str, Scrape], promtool: str, program: str) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=scrapes[program].text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_promtool_takes_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", str(FOLDER / "alerts.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([promtool, "check", "config", str(FOLDER / "prometheus.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "series", "quiet", "loud", "value"),
    [
        ("UnikatBatchesStand", {BATCH: "100x99", WRITTEN: "0x9 100x89"}, "35m", "46m", ""),
        ("UnikatBatchesStand", {BATCH: "100x99", WRITTEN: "0+100x99"}, "99m", "", ""),
        ("UnikatQueueGrows", {IN_HAND.format("call"): "130x30", WORKERS: "1x30"}, "9m", "11m", "2m 10s"),
        ("UnikatQueueGrows", {IN_HAND.format("shard"): "9000x30", WORKERS: "1x30"}, "30m", "", ""),
    ],
)  # fmt: skip
def test_an_alert_fires_when_it_says(
    promtool: str, tmp_path: Path, alert: str, series: dict[str, str], quiet: str, loud: str, value: str
) -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == alert]
    summary = re.sub("{{.*}}", value, rule["annotations"]["summary"])
    fires = {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"] | {"summary": summary}}
    asked = [(quiet, []), *([(loud, [fires])] if loud else [])]
    tests = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": found} for at, found in asked],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FOLDER / "alerts.yml")], "tests": [tests]}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_asks_for_what_there_is_and_says_what_to_do(names: set[str]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    headings = {line.removeprefix("### ").lower() for line in text.splitlines() if line.startswith("### ")}
    for rule in rules():
        asked = set(OWN.findall(rule["expr"]))
        assert asked <= names, rule["alert"]
        assert asked or "up" in rule["expr"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert ROOT / page == DOCUMENT
        assert anchor == rule["alert"].lower()
        assert anchor in headings
    alerts = {heading for heading in headings if heading.startswith("unikat")}
    assert alerts == {rule["alert"].lower() for rule in rules()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_what_there_is(path: Path, names: set[str]) -> None:
    loaded = dashboard(path)
    found = list(expressions(loaded))
    assert len(found) > 10
    for expression in found:
        asked = set(OWN.findall(expression))
        assert asked, expression
        assert asked <= names, expression
    assert loaded["uid"].startswith("unikat-")
    panels = [panel for panel in loaded["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["datasource"]["uid"] == "prometheus" for panel in panels)
    assert len({panel["id"] for panel in loaded["panels"]}) == len(loaded["panels"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_promtool_parses_every_expression_of_a_dashboard(path: Path, promtool: str, tmp_path: Path) -> None:
    asked = [each for each in expressions(dashboard(path)) if not each.startswith("label_values")]
    filled = [each.replace("$__rate_interval", "5m").replace("$model", ".*") for each in asked]
    group = {"name": "all", "rules": [{"record": f"panel_{n}", "expr": each} for n, each in enumerate(filled)]}
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_autoscaler_asks_for_what_there_is(names: set[str]) -> None:
    scaled = yaml.safe_load((DEPLOY / "kubernetes/autoscaling/scaledobject.yaml").read_text(encoding="utf-8"))
    text = DOCUMENT.read_text(encoding="utf-8")
    for trigger in scaled["spec"]["triggers"]:
        asked = set(OWN.findall(trigger["metadata"]["query"]))
        assert asked, trigger["name"]
        assert asked <= names, trigger["name"]
        assert f"| `{trigger['name']}` |" in text


def test_prometheus_asks_the_containers_where_they_serve() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    asked = {
        name: each["port"]
        for job in config["scrape_configs"]
        for each in job["dns_sd_configs"]
        for name in each["names"]
    }
    files = ("compose.yaml", "compose.cpu.yaml", "compose.gallery.yaml", "compose.registry.yaml")
    services = load(*files)["services"]
    assert set(asked) == {name for name, node in services.items() if "UNIKAT_METRICS" in node.get("environment", {})}
    for name, port in asked.items():
        assert services[name]["environment"]["UNIKAT_METRICS"] == f"${{UNIKAT_METRICS-0.0.0.0:{port}}}"


def test_prometheus_and_grafana_can_write_their_data_only_and_this_machine_alone_reaches_them() -> None:
    services = load(*STACK)["services"]
    for name, port, variable in (("prometheus", 9090, "PROMETHEUS"), ("grafana", 3000, "GRAFANA")):
        node = services[name]
        assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
        assert node["security_opt"] == ["no-new-privileges:true"]
        assert node["ports"] == [f"127.0.0.1:${{UNIKAT_{variable}_PORT:-{port}}}:{port}"]
        assert re.fullmatch(r"docker\.io/[a-z/]+:v?[0-9][0-9.]+", node["image"])
        [bound] = [volume for volume in node["volumes"] if isinstance(volume, dict)]
        assert bound["read_only"] is True
        assert (DEPLOY / bound["source"]).is_dir()


def test_grafana_finds_what_is_provisioned() -> None:
    node = load(*STACK)["services"]["grafana"]
    [bound] = [volume for volume in node["volumes"] if isinstance(volume, dict)]

    def here(inside: str) -> Path:
        assert inside.startswith(bound["target"])
        return DEPLOY / str(bound["source"]) / inside.removeprefix(bound["target"]).lstrip("/")

    provisioning = here(node["environment"]["GF_PATHS_PROVISIONING"])
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text(encoding="utf-8"))["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    [provider] = yaml.safe_load((provisioning / "dashboards/unikat.yaml").read_text(encoding="utf-8"))["providers"]
    assert sorted(here(provider["options"]["path"]).glob("*.json")) == DASHBOARDS
    assert here(node["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]) in DASHBOARDS


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_dashboards_show_a_killed_worker_a_full_valkey_and_a_failing_destination(tmp_path: Path) -> None:
    found = course(tmp_path, 30.0)
    assert found.alerts[CALM] == set()
    assert {"UnikatProgramDown", "UnikatWorkersLost"} <= found.alerts[KILLED]
    assert {"UnikatRedisFull", "UnikatRefusing"} <= found.alerts[FULL]
    assert "UnikatBatchPaused" in found.alerts[BLOCKED]
    workers = "Workers by model"
    assert (min(found.of(workers, KILLED)), max(found.of(workers, FULL))) == (1, 2)
    assert max(found.of("Recovered, retried, given up", KILLED)) > 0
    assert max(found.of("Redis memory", FULL)) > 0.8
    assert max(found.of("Refused because of a limit", FULL)) > 0
    assert (max(found.of("Paused", FULL)), max(found.of("Paused", BLOCKED))) == (0, 1)
    written = found.of("Images written an hour", BLOCKED), found.of("Images written an hour", CALM)
    assert (min(written[0]), written[1][-1] > 0) == (0, True)
