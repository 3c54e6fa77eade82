"""BentoML with adaptive batches: one worker process.

Its batches take JSON: a list of one base64 PNG, as text.
"""

import base64
import os
import sys

import bentoml

from benchmarks.peers.network import MAX_BATCH, load, read_png

WEIGHTS_VARIABLE = "BENCHMARK_WEIGHTS"
"""Environment variable that tells the worker where the weights are."""


@bentoml.service(workers=1, traffic={"timeout": 60})
class Encode:
    """POST {"pictures": [base64 PNG]} to /run."""

    def __init__(self) -> None:
        """Read the network in the worker."""
        self.network = load(os.environ[WEIGHTS_VARIABLE])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=60_000)
    def run(self, pictures: list[str]) -> list[dict[str, list[list[float]]]]:
        """Run a batch."""
        mean, std = self.network.encode([read_png(base64.b64decode(one)) for one in pictures])
        return [
            {"mean": [one.tolist()], "std": [other.tolist()]}
            for one, other in zip(mean, std, strict=True)
        ]


def main(port: int, weights: str) -> None:
    """Serve on 127.0.0.1 until a signal comes."""
    os.environ[WEIGHTS_VARIABLE] = weights
    arguments = ["serve", "benchmarks.peers.with_bentoml:Encode", "--host", "127.0.0.1"]
    program = os.path.join(os.path.dirname(sys.executable), "bentoml")
    os.execv(program, [program, *arguments, "--port", str(port)])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
