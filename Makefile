# Needs python >= 3.11, make and pip. Everything is installed into .venv, which may be deleted at any time.
#
#   make serve                   serve the shipped bundles on 127.0.0.1:8000
#   make quick                   run the tests that take no more than two seconds each
#   make test                    run every test, with coverage
#   make check                   check format, lint and types
#   make format                  format, and fix what lint can fix
#   make e2e                     run the tests of the pages in a browser, their times too, where chromium is installed
#   make check-clients           generate clients from the OpenAPI document, and call the service with them and with KServe's
#   make bench                   measure speeds, overload and disturbances, in some 40 minutes
#   make soak                    look for leaks, in ten minutes
#   make image                   build the Docker image
#
# TORCH_INDEX_URL: package index of torch; pytorch.org/get-started lists the indexes of its CPU, CUDA and
#                  ROCm builds. Empty: pip's own index, which on Linux has the CUDA build, gigabytes
#                  larger. To change it, delete .venv first.
# TORCH_BUILD:     build that `make image` accepts: cpu, cuda or rocm.

PYTHON ?= python3
TORCH_INDEX_URL ?=
TORCH_BUILD ?= cpu
IMAGE ?= vae-serve

BIN := .venv/bin
# A process per core; the tests of one file share its fixtures.
PARALLEL := --numprocesses=auto --maxprocesses=8 --dist=loadscope
LOCK := pyproject.toml constraints.txt

.PHONY: serve quick test e2e check check-clients format bench soak image
.DELETE_ON_ERROR:

serve: .venv/installed-serve
	$(BIN)/vae serve

quick: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) -m 'not slow'

test: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term --cov-fail-under=100

e2e: .venv/installed-dev
	CHECK_TIMES=1 $(BIN)/pytest -rs tests/e2e

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-clients: .venv/installed-dev
	CHECK_CLIENTS=1 $(BIN)/pytest -rs tests/app/api/test_generated_clients.py tests/app/api/test_inference_clients.py

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks

soak: .venv/installed-dev
	$(BIN)/python -m benchmarks soak

image:
	docker build --build-arg TORCH_INDEX_URL='$(TORCH_INDEX_URL)' --build-arg TORCH_BUILD='$(TORCH_BUILD)' \
	  --tag $(IMAGE) .

# A stamp older than the lock means that something must be installed.
.venv/installed-dev: EXTRAS := serve,train,dev
.venv/installed-serve: EXTRAS := serve
.venv/installed-dev .venv/installed-serve: .venv/torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

.venv/torch: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo '$(PYTHON) is not Python 3.11 or later. Name one that is: make PYTHON=python3.12'; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX_URL),$(BIN)/pip install --quiet --no-deps --constraint constraints.txt \
	  --index-url '$(TORCH_INDEX_URL)' torch)
	touch $@
