"""Naive FastAPI: each request runs the network alone, on the event loop."""

import sys

from fastapi import FastAPI, Request, Response

from benchmarks.peers.listening import JSON, NPY, PNG, serve
from benchmarks.peers.network import (
    load,
    read_npy,
    read_png,
    write_latents,
    write_npy,
    write_png,
)


def make_app(weights: str) -> FastAPI:
    """Build the app."""
    app, network = FastAPI(), load(weights)

    @app.get("/")
    async def ready() -> Response:
        return Response(b"ready")

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        mean, std = network.encode([read_png(await request.body())])
        return Response(write_latents(mean[0], std[0]), media_type=JSON)

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        pixels = network.decode([read_npy(await request.body())])
        return Response(write_npy(pixels[0]), media_type=NPY)

    @app.get("/sample")
    async def sample(seed: int) -> Response:
        pixels = network.decode([network.draw(seed)])
        return Response(write_png(pixels[0]), media_type=PNG)

    return app


if __name__ == "__main__":
    serve(make_app(sys.argv[2]), int(sys.argv[1]))
