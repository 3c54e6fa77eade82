"""The dashboard and the alerts ask for metrics and labels that a real server has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.settings import PRETRAINED
from tests.app.pictures import NPY, binary, encoded, npy
from tests.app.server_process import ROOT, serving

DASHBOARD = json.loads((ROOT / "deploy/grafana/vae-serve.json").read_text(encoding="utf-8"))
RULES = ROOT / "deploy/prometheus/alerts.yml"
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_PROMETHEUS = {"job", "instance"}
"""Labels that a scrape adds."""

NAME = re.compile(r"\b(?:vae|process)_\w+")
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def alerts() -> list[dict[str, str]]:
    """Each rule's fields that are text, as the file has them: an expression is one line."""
    rules = re.split(r"\n +- alert: ", RULES.read_text(encoding="utf-8"))[1:]
    found = []
    for rule in rules:
        fields = dict(re.findall(r"^ +(expr|for|summary|description): (.+)$", rule, re.MULTILINE))
        found.append({"alert": rule.partition("\n")[0], **fields})
    return found


def queries() -> list[tuple[str, str, str]]:
    """(where, expression, text that shows labels) of every query."""
    found = [
        (panel["title"], target["expr"], target["legendFormat"])
        for panel in PANELS
        for target in panel["targets"]
    ]
    variables = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    for variable in variables:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        found.append((variable["name"], f"count by ({label}) ({selector})", ""))
    return found + [(one["alert"], one["expr"], one["summary"]) for one in alerts()]


def labels_by_name(text: str) -> dict[str, set[str]]:
    """The labels of every sample of a scrape."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def use(client: httpx.Client) -> None:
    """Requests after which every metric has its labels."""
    picture: Any = {
        "content": encoded(binary(side=28)[0]),
        "headers": {"Content-Type": "image/png"},
    }
    for operation in ("encode", "elbo", "log-likelihood?num_samples=10"):
        assert client.post(f"/v1/models/mnist/{operation}", **picture).status_code == 200
    window = npy(binary(50, side=28))
    assert client.post("/v1/models/mnist/anomaly", content=window, headers=NPY).status_code == 200
    assert client.get("/v1/sample").status_code == 200
    assert client.get("/nowhere").status_code == 404


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "workers"])
def exposed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, set[str]]]:
    """Metrics of a real server, with their labels."""
    log = tmp_path_factory.mktemp("monitoring") / "log"
    with serving(PRETRAINED, log, "--workers", request.param, "--drift-window", "50") as server:
        use(server.client)
        yield labels_by_name(server.client.get("/metrics").text)


@pytest.mark.slow
def test_every_query_names_metrics_and_labels_that_a_server_has(
    exposed: dict[str, set[str]],
) -> None:
    for where, expression, shown in queries():
        names = NAME.findall(expression)
        assert names, where
        assert set(names) <= set(exposed), where
        known = OF_PROMETHEUS.union(*(exposed[name] for name in names))
        for name, selector in SELECTOR.findall(expression):
            used = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector))
            assert used <= exposed[name] | OF_PROMETHEUS, where
        for group in GROUPING.findall(expression):
            assert set(group.split(", ")) <= known, where
        assert set(SHOWN.findall(shown)) - {"value"} <= known, where


@pytest.mark.slow
def test_every_metric_is_on_the_dashboard(exposed: dict[str, set[str]]) -> None:
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for _, expression, _ in queries()
        for name in NAME.findall(expression)
    }
    ours = {name for name in exposed if name.startswith("vae_") and not name.endswith("_created")}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours} == {
        name for name in asked if name.startswith("vae_")
    }


def test_panels_lie_side_by_side_and_have_ids_of_their_own() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_what_and_what_to_do() -> None:
    assert len(alerts()) >= 10
    for alert in alerts():
        assert alert.keys() >= {"alert", "expr", "summary", "description"}, alert


needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")


def promtool(*arguments: str) -> str:
    command = ["promtool", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_reads_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


@needs_promtool
def test_promtool_reads_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression, _) in enumerate(queries())
    ]
    file = tmp_path / "rules.json"  # YAML holds all of JSON
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "series", "minutes", "labels"),
    [
        ("VaeNoModel", {'vae_bundles{job="v", instance="a", status="ready"}': "0x20"}, 10, {}),
        ("VaeNoModel", {'vae_bundles{job="v", instance="a", status="ready"}': "1x20"}, 10, None),
        (
            "VaeBrokenBundle",
            {'vae_bundles{job="v", instance="a", status="broken"}': "2x20"},
            10,
            {},
        ),
        (
            "VaeTurnsRequestsAway",
            {
                'vae_requests_total{job="v", instance="a", status="503"}': "0+100x30",
                'vae_rejections_total{job="v", instance="a", reason="busy"}': "0+10x30",
            },
            20,
            {"instance": None},
        ),
        (
            "VaeTurnsRequestsAway",
            {
                'vae_requests_total{job="v", instance="a", status="503"}': "0+100x30",
                'vae_rejections_total{job="v", instance="a", reason="draining"}': "0+10x30",
            },
            20,
            None,
        ),
        (
            "VaeRestarts",
            {
                'process_start_time_seconds{job="v", instance="a"}': "1x4 2x2 3x2 4x9",
                'vae_build_info{job="v", instance="a", version="1"}': "1x20",
            },
            14,
            {},
        ),
        (
            "VaeEngineStands",
            {
                'vae_queue_jobs{job="v", instance="a"}': "3x30",
                'vae_batch_rows_count{job="v", instance="a", pass="encode"}': "7x30",
            },
            20,
            {},
        ),
        (
            "VaeEngineStands",
            {
                'vae_queue_jobs{job="v", instance="a"}': "3x30",
                'vae_batch_rows_count{job="v", instance="a", pass="encode"}': "0+7x30",
            },
            20,
            None,
        ),
        (
            "VaeWorkersMissing",
            {'vae_workers{job="v", instance="a"}': "4x10 3x20"},
            20,
            {},
        ),
    ],
)
def test_an_alert_fires_when_it_should(
    alert: str,
    series: dict[str, str],
    minutes: int,
    labels: dict[str, str | None] | None,
    tmp_path: Path,
) -> None:
    severities = dict(
        re.findall(r"alert: (\w+)\n(?:.*\n)*? +labels: \{severity: (\w+)\}", RULES.read_text())
    )
    rule = re.search(rf"- alert: {alert}\n(?:(?! +- alert).*\n)*", RULES.read_text())
    assert rule is not None
    alone = re.sub(r" +annotations:\n(?: {10}.*\n)+", "", rule[0])
    (tmp_path / "rules.yml").write_text(
        "groups:\n  - name: one\n    rules:\n      " + alone, encoding="utf-8"
    )
    fired = {"job": "v", "instance": "a", "severity": severities[alert], **(labels or {})}
    expected = {name: value for name, value in fired.items() if value is not None}
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "alert_rule_test": [
                    {
                        "alertname": alert,
                        "eval_time": f"{minutes}m",
                        "exp_alerts": [] if labels is None else [{"exp_labels": expected}],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps(test), encoding="utf-8")
    promtool("test", "rules", str(file))
