"""The service on Ray Serve: the bytes of the plain service, and a killed replica comes back."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import ValidationError

from tests.app.repository import SIDE, make_repository
from tests.app.server_process import ROOT, free_port, serving

REASON = "the service on Ray needs Ray: pip install 'ray[serve]'"


def test_options_that_do_not_go_together_are_refused() -> None:
    from deploy.ray_serve import Options

    assert Options(min_replicas=2, max_replicas=3, num_gpus=0.5).target_ongoing_requests == 16
    with pytest.raises(ValidationError, match="Use max_replicas=2"):
        Options(min_replicas=2)
    with pytest.raises(ValidationError, match="replicas"):
        Options.model_validate({"replicas": 2})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def replicas(repository: Path) -> Iterator[str]:
    """URL of two replicas."""
    ray = pytest.importorskip("ray", reason=REASON)
    serve = pytest.importorskip("ray.serve", reason=REASON)
    from deploy.ray_serve import Options, application

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_MODEL_REPOSITORY", str(repository))
        patch.setenv("VAE_COMPUTE_THREADS", "1")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        beside = [str(ROOT), str(ROOT / "client"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(beside))
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": port})
            serve.run(application(Options(min_replicas=2, max_replicas=2)))
            yield f"http://127.0.0.1:{port}"
        finally:
            serve.shutdown()
            ray.shutdown()


def names_of_replicas() -> list[Any]:
    import ray

    named = ray.util.list_named_actors(all_namespaces=True)
    return [one for one in named if one["name"].startswith("SERVE_REPLICA::")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_replicas_give_the_bytes_of_the_plain_service_and_come_back(
    replicas: str, repository: Path, tmp_path: Path
) -> None:
    import ray

    picture = tmp_path / "picture.npy"
    np.save(picture, np.full((1, SIDE, SIDE), 255, np.uint8))

    def ask(url: str, *, tries: int = 1) -> list[bytes]:
        for _ in range(tries):
            answers = [
                httpx.get(f"{url}/v1/models/mnist/sample?n=3&seed=1&format=npy", timeout=60),
                httpx.post(
                    f"{url}/v1/models/mnist/elbo?seed=1",
                    content=picture.read_bytes(),
                    headers={"Content-Type": "application/x-npy"},
                    timeout=60,
                ),
            ]
            if all(answer.status_code == 200 for answer in answers):
                return [answer.content for answer in answers]
            time.sleep(0.5)
        raise AssertionError(answers)

    with serving(repository, tmp_path / "log") as served:
        wanted = ask(served.url)
    assert [ask(replicas) for _ in range(4)] == [wanted] * 4
    before = names_of_replicas()
    ray.kill(ray.get_actor(before[0]["name"], namespace=before[0]["namespace"]))
    deadline = time.monotonic() + 120
    while (now := names_of_replicas()) == before or len(now) < 2:
        assert time.monotonic() < deadline, now
        assert ask(replicas, tries=40) == wanted
        time.sleep(0.2)
    assert [ask(replicas, tries=40) for _ in range(4)] == [wanted] * 4
