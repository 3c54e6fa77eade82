"""Ray Serve: requests a second of its replicas beside `vae serve` with as many workers.

Closed loop, one server at a time, work of some milliseconds and of some tens. The replicas, Ray's
proxy and the load generator share the cores. Not measured: a cluster, autoscaling, GPUs.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks.costs import LATENTS, MODEL
from benchmarks.load import Measured, generator, measure
from benchmarks.media import png
from benchmarks.servers import Exchange, vae_serve
from benchmarks.sides import Side, ours, picture, running
from benchmarks.timing import duration, table

CONNECTIONS = 16
"""A replica."""


def run(*, quick: bool) -> Iterator[Table]:
    """Measure one and two replicas of each, in turns."""
    rounds, seconds = (1, 1.0) if quick else (2, 4.0)
    made = table(
        f"One 28 x 28 PNG, the {MODEL} bundle, {CONNECTIONS} connections a replica; {generator()}",
        "request",
        *("server", "replicas", "requests/s", "p50", "p99", "failed", "over one replica"),
        caption=f"Medians over {rounds} rounds.",
    )
    found: dict[tuple[str, str, int], list[Measured]] = {}
    for _ in range(rounds):
        for replicas in (1, 2):
            for side in (
                ours(PRETRAINED, MODEL, latents=LATENTS, workers=replicas),
                _ray(replicas),
            ):
                with running([side]) as [(_, server)]:
                    server.resume()
                    for name, exchange in _requests().items():
                        many = CONNECTIONS * replicas
                        measure(server.port, exchange, connections=many, seconds=1.0)
                        key = name, side.name.split(",")[0], replicas
                        got = measure(server.port, exchange, connections=many, seconds=seconds)
                        found.setdefault(key, []).append(got)
    for key in sorted(found):
        name, server_name, replicas = key
        rate = _median(found[key], "rate")
        one = _median(found[name, server_name, 1], "rate")
        made.add_row(
            *(name, server_name, str(replicas), f"{rate:,.1f}"),
            *(duration(_median(found[key], "p50")), duration(_median(found[key], "p99"))),
            str(sum(got.failed for got in found[key])),
            f"{rate / one:.2f}",
        )
    yield made


def _requests() -> dict[str, Exchange]:
    image, at = png(picture()), f"/v1/models/{MODEL}"
    targets = {
        "elbo, K = 30": f"{at}/elbo?num_samples=30&seed=1",
        "encode": f"{at}/encode",
    }
    return {name: Exchange("POST", target, image, "image/png") for name, target in targets.items()}


def _ray(replicas: int) -> Side:
    def command(port: int) -> tuple[list[str], dict[str, str]]:
        _, environment = vae_serve(port, PRETRAINED)
        module = "benchmarks.peers.with_ray"
        return [sys.executable, "-m", module, str(port), str(replicas)], environment

    return Side("Ray Serve", command, "/readyz", {})


def _median(rounds: Sequence[Measured], name: str) -> float:
    return float(np.median([getattr(one, name) for one in rounds]))
