"""Peers: servers that others would write for the same network, and serving libraries.

python -m benchmarks.peers.<name> PORT WEIGHTS

serves 127.0.0.1:PORT with the weights that bundle.py writes (`network.py` reads them), and
answers a GET of / when it is ready. Each runs the network on one thread, in inference mode.

decode_only     FastAPI; reads the PNG and answers with constant bytes: no network
naive           FastAPI; one pass of the network for each request
hand_batched    FastAPI; a queue and a worker thread that runs what waits as one batch
with_litserve   LitServe, with batches
with_bentoml    BentoML, with batches
with_mosec      mosec, with batches: its HTTP server is in Rust, in a second process

The last three need a Python with those libraries: `python -m benchmarks --peers-python`.
"""
