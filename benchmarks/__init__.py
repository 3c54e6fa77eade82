"""Benchmarks: speeds as ratios to a floor or to other servers, measured in one run.

python -m benchmarks                   all but the soak
python -m benchmarks serving --quick   one part, with few and short rounds
python -m benchmarks soak              ten minutes of good and bad requests: what grows

scoring, media       library code alone, beside bare torch, Pillow, numpy and orjson
folders              the start of a training on a folder of JPEG files, and its cache
opcodes              Python's own work on a request, which no other process changes
serving              `vae serve` beside FastAPI by hand, LitServe, BentoML and mosec
overload, fairness   more load than it can take; short requests beside long ones
disturbances         clients that leave, a killed worker, SIGTERM, a reload
"""
