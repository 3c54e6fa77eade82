"""A FastAPI route that only decodes the PNG: what a server could answer without a network."""

import sys

from fastapi import FastAPI, Request, Response

from benchmarks.peers.listening import JSON, serve
from benchmarks.peers.network import load, read_png, write_latents


def make_app(weights: str) -> FastAPI:
    """Build the app, whose answer is as long as a real one."""
    app = FastAPI()
    zeros = load(weights).draw(0)[0]
    answer = write_latents(zeros, zeros)

    @app.get("/")
    async def ready() -> Response:
        return Response(b"ready")

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        read_png(await request.body())
        return Response(answer, media_type=JSON)

    return app


if __name__ == "__main__":
    serve(make_app(sys.argv[2]), int(sys.argv[1]))
