"""The Helm chart: what it renders, by Kubernetes' schemas, and what it says of the service.

`*.golden.yaml` are what `helm template vae deploy/helm/vae-serve` renders, with `full.yaml` or
without: write them anew when the chart changes.
"""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.app.repository import make_repository
from tests.app.server_process import serving

HERE = Path(__file__).resolve().parent / "helm"
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "vae-serve"
HELM = shutil.which("helm")
NAMES = ("default", "full")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed")


def objects(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((HERE / f"{name}.golden.yaml").read_text()))


def pod_of(name: str) -> dict[str, Any]:
    (deployment,) = (one for one in objects(name) if one["kind"] == "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def environment(name: str) -> dict[str, str]:
    """The variables whose values the chart knows."""
    (container,) = pod_of(name)["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def values(name: str) -> list[str]:
    return ["--values", str(HERE / "full.yaml")] if name == "full" else []


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run([HELM, *words], capture_output=True, text=True, check=False)


@needs_helm
@pytest.mark.parametrize("name", NAMES)
def test_the_golden_files_are_what_the_chart_renders(name: str) -> None:
    assert helm("lint", "--strict", str(CHART), *values(name)).returncode == 0
    rendered = helm("template", "vae", str(CHART), *values(name))
    assert rendered.stderr == ""
    assert list(yaml.safe_load_all(rendered.stdout)) == objects(name)


@needs_helm
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("settings.VAE_PORT=9000", "invalid propertyName 'VAE_PORT'"),
        ("bundles.source=volume", "/bundles/volume"),
        ("replica=3", "additional properties 'replica' not allowed"),
        ("keys.apiKeysSha256={secret}", "does not match pattern"),
        ("autoscaling.enabled=true,autoscaling.targetCPUPercent=0", "without a target"),
        (
            "serviceMonitor.enabled=true,keys.existingSecret=k,metricsOpen=false",
            "no key for /metrics",
        ),
    ],
)
def test_wrong_values_are_refused(wrong: str, words: str) -> None:
    done = helm("template", "vae", str(CHART), "--set", wrong)
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_objects_hold_to_the_schemas_of_kubernetes(name: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    for one in objects(name):
        if one["kind"] != "ServiceMonitor":  # not Kubernetes' own
            validator.validate(one, "1.34", strict=True)


def test_default_values_have_a_schema_and_a_comment() -> None:
    written = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert written.keys() | {"global"} == schema["properties"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_pods_say_only_settings_that_there_are(name: str) -> None:
    known = {f"VAE_{field.upper()}" for field in Settings.model_fields}
    assert {one for one in environment(name) if one.startswith("VAE_")} <= known
    Settings(
        **{
            one.removeprefix("VAE_").lower(): value
            for one, value in environment(name).items()
            if one.startswith("VAE_") and value
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_time_to_drain_and_to_finish_and_no_rights(name: str) -> None:
    pod, given = pod_of(name), environment(name)
    least = float(given["VAE_DRAIN_SECONDS"]) + float(given["VAE_REQUEST_TIMEOUT_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= least + 5
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    paths = {container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"/readyz", "/livez"}


@pytest.mark.slow
def test_a_pods_command_stops_under_load_without_a_failed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart's arguments and variables; SIGTERM, as Kubernetes sends it."""
    for name, value in environment("default").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VAE_DRAIN_SECONDS", "1")  # the test's time, not the balancer's
    assert pod_of("default")["containers"][0]["args"] == ["serve"]
    failed: list[str] = []
    answered = 0
    stopping = threading.Event()
    with serving(make_repository(tmp_path / "models"), tmp_path / "log") as served:

        def ask() -> None:
            nonlocal answered
            while True:
                try:
                    status = httpx.get(f"{served.url}/v1/sample?n=1&format=npy").status_code
                except httpx.ConnectError:
                    if not stopping.is_set():
                        failed.append("refused")
                    return  # a balancer has forgotten the pod by now
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                    return
                answered += 1
                if status != 200:
                    failed.append(str(status))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        threading.Event().wait(1)
        stopping.set()
        served.signal(signal.SIGTERM)
        assert served.wait() == os.EX_OK
        for thread in threads:
            thread.join(timeout=30)
    assert failed == []
    assert answered > 4
