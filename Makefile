# Needs python >= 3.11, make and pip; everything goes into .venv, which may be deleted at any time.
#
#   make serve                   serve the shipped bundles on 127.0.0.1:8000
#   make quick                   the tests that take no more than two seconds each
#   make test                    every test, with coverage
#   make check                   format, lint, types
#
# TORCH_INDEX_URL names the index that torch comes from; pytorch.org/get-started lists those of its CPU,
# CUDA and ROCm builds. Empty: torch comes from where pip takes everything else, which on Linux is
# most often the CUDA build, some gigabytes larger. To change it later, delete .venv first.
# TORCH_BUILD (cpu, cuda, rocm) is the build that `make image` insists on.

PYTHON ?= python3
TORCH_INDEX_URL ?=
TORCH_BUILD ?= cpu
IMAGE ?= vae-serve

BIN := .venv/bin
# A process per core; the tests of one file share its fixtures.
PARALLEL := --numprocesses=auto --maxprocesses=8 --dist=loadscope
LOCK := pyproject.toml constraints.txt

.PHONY: serve quick test check format bench image
.DELETE_ON_ERROR:

serve: .venv/installed-serve
	$(BIN)/vae serve

quick: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) -m 'not slow'

test: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term --cov-fail-under=100

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks

image:
	docker build --build-arg TORCH_INDEX_URL='$(TORCH_INDEX_URL)' --build-arg TORCH_BUILD='$(TORCH_BUILD)' \
	  --tag $(IMAGE) .

# A stamp is younger than the lock exactly when nothing has to be installed.
.venv/installed-dev: EXTRAS := serve,train,dev
.venv/installed-serve: EXTRAS := serve
.venv/installed-dev .venv/installed-serve: .venv/torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

.venv/torch: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'vae-serve needs Python 3.11 or later; name one: make PYTHON=python3.12'; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX_URL),$(BIN)/pip install --quiet --no-deps --constraint constraints.txt \
	  --index-url '$(TORCH_INDEX_URL)' torch)
	touch $@
