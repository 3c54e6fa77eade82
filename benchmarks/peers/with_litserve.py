"""LitServe with batches: one worker process, which it feeds by a queue.

It takes JSON or forms, no raw bodies.
"""

import base64
import sys
from typing import Any

import litserve
import numpy as np

from benchmarks.peers.network import MAX_BATCH, load, read_png


class Encode(litserve.LitAPI):
    """POST {"picture": base64 PNG} to /encode."""

    weights: str

    def setup(self, device: str) -> None:
        """Read the network in the worker."""
        self.network = load(self.weights)

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """Read the PNG."""
        return read_png(base64.b64decode(request["picture"]))

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Leave the pictures as they are: the network stacks them."""
        return inputs

    def predict(self, x: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Run a batch."""
        return self.network.encode(x)

    def unbatch(self, output: tuple[np.ndarray, np.ndarray]) -> list[Any]:
        """Split the batch."""
        return list(zip(*output, strict=True))

    def encode_response(self, output: Any) -> dict[str, list[list[float]]]:
        """Write lists, which LitServe makes JSON of."""
        mean, std = output
        return {"mean": [mean.tolist()], "std": [std.tolist()]}


def main(port: int, weights: str) -> None:
    """Serve on 127.0.0.1 until a signal comes."""
    api = Encode(max_batch_size=MAX_BATCH, batch_timeout=0.0, api_path="/encode")
    api.weights = weights
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="error",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
