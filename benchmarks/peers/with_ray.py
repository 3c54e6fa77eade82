"""The service on Ray Serve: python -m benchmarks.peers.with_ray PORT REPLICAS.

Settings are those of the environment (VAE_...). It runs until it is killed.
"""

import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.servers import ROOT
from deploy.ray_serve import Options, application


def main(port: int, replicas: int) -> None:
    """Start Ray on this machine, and serve."""
    ray: Any = import_module("ray")
    serve: Any = import_module("ray.serve")
    beside = [str(ROOT), str(ROOT / "client"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(beside)  # of Ray's own processes
    ray.init(num_cpus=replicas + 1, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = Options(min_replicas=replicas, max_replicas=replicas)
    serve.run(application(options), blocking=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
