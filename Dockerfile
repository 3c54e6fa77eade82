# Image of the service and the shipped bundles, without the training code.
#
#   make image TORCH_INDEX_URL=...     or: docker build --build-arg TORCH_INDEX_URL=... --tag vae-serve .
#   docker run --rm --publish 127.0.0.1:8000:8000 vae-serve
#   docker run --rm --publish 127.0.0.1:8000:8000 --volume "$PWD/bundles:/models:ro" vae-serve
#
# TORCH_INDEX_URL  package index of torch; pytorch.org/get-started lists the indexes of its CPU, CUDA and ROCm
#                  builds. Empty: pip's own index, which on Linux has the CUDA build.
# TORCH_BUILD      build of torch that the image accepts: cpu, cuda or rocm. Another build is an error.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /srv
RUN python -m venv --without-pip /opt/venv
COPY pyproject.toml constraints.txt ./

ARG TORCH_INDEX_URL=
RUN pip --python /opt/venv/bin/python install --no-deps --constraint constraints.txt \
      ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch

# Checked before torch's own dependencies are installed: those of CUDA are gigabytes.
ARG TORCH_BUILD=cpu
RUN found=$(/opt/venv/bin/python -c 'import runpy, sysconfig; \
version = runpy.run_path(sysconfig.get_path("purelib") + "/torch/version.py"); \
print("cuda" if version.get("cuda") else "rocm" if version.get("hip") else "cpu")') \
    && if [ "$found" != "$TORCH_BUILD" ]; then \
      echo "pip found torch's $found build, not the $TORCH_BUILD build that TORCH_BUILD asks for." \
           "Pass --build-arg TORCH_INDEX_URL=<index of torch's $TORCH_BUILD builds, see pytorch.org/get-started>" \
           "(make image TORCH_INDEX_URL=...), or accept this build: --build-arg TORCH_BUILD=$found" >&2; exit 1; fi

RUN python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*project["dependencies"], *project["optional-dependencies"]["serve"], *project["optional-dependencies"]["otel"], sep="\n")' > requirements.txt \
    && pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement requirements.txt

COPY app/ app/
COPY models/ models/
COPY client/vae_client/ vae_client/
RUN mv models/pretrained /models \
    && rm pyproject.toml constraints.txt requirements.txt \
    && /opt/venv/bin/python -m compileall -q app models vae_client

FROM python:3.11-slim
RUN groupadd --system --gid 10001 vae \
    && useradd --system --uid 10001 --gid vae --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vae
COPY --from=build /opt/venv /opt/venv
COPY --from=build /models /models
COPY --from=build /srv /srv

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VAE_HOST=0.0.0.0 \
    VAE_PORT=8000 \
    VAE_MODEL_REPOSITORY=/models
WORKDIR /srv
# Compile the parts of the standard library that the service imports: the base image has no bytecode of it, and the
# service must not write any.
RUN PYTHONDONTWRITEBYTECODE= python -c "import app.cli.commands, app.cli.serve, app.cli.server"
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('VAE_PORT', '').strip() or 8000}/readyz\", timeout=4)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
