"""mosec with batches: its HTTP server in Rust, and a worker process that it feeds by a socket."""

import os
import sys
from typing import Any

import mosec
import numpy as np

from benchmarks.peers.network import MAX_BATCH, load, read_png, write_latents

WEIGHTS_VARIABLE = "BENCHMARK_WEIGHTS"
"""Environment variable that tells the worker where the weights are."""


class Encode(mosec.Worker):
    """POST a PNG to /inference."""

    def __init__(self) -> None:
        """Read the network in the worker."""
        self.network = load(os.environ[WEIGHTS_VARIABLE])

    def deserialize(self, data: bytes) -> np.ndarray:
        """Read the PNG."""
        return read_png(data)

    def serialize(self, data: Any) -> bytes:
        """Write the JSON."""
        return write_latents(*data)

    def forward(self, data: list[np.ndarray]) -> list[Any]:
        """Run a batch."""
        return list(zip(*self.network.encode(data), strict=True))


if __name__ == "__main__":
    port, os.environ[WEIGHTS_VARIABLE] = sys.argv[1:3]
    # mosec reads its own options from the command line, in the worker too.
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", port, "--log-level", "error"]
    server = mosec.Server()
    # Without max_wait_time a batch waits 10 ms.
    server.append_worker(Encode, num=1, max_batch_size=MAX_BATCH, max_wait_time=1)
    server.run()
