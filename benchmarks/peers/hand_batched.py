"""FastAPI with batches by hand: a queue, and a thread that runs what waits as one batch."""

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from benchmarks.peers.listening import JSON, NPY, PNG, serve
from benchmarks.peers.network import (
    MAX_BATCH,
    load,
    read_npy,
    read_png,
    write_latents,
    write_npy,
    write_png,
)


class Batcher:
    """Run single items of many requests as batches on a thread of its own."""

    def __init__(self, run: Callable[[list[Any]], list[Any]]) -> None:
        """Start the thread."""
        self._run = run
        self._waiting: queue.SimpleQueue[tuple[Any, asyncio.Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def submit(self, item: Any) -> Any:
        """Wait for the item's result."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.put((item, future))
        return await future

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            results = self._run([item for item, _ in batch])
            loop = batch[0][1].get_loop()
            loop.call_soon_threadsafe(_resolve, [future for _, future in batch], results)


def _resolve(futures: list["asyncio.Future[Any]"], results: list[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.done():
            future.set_result(result)


def make_app(weights: str) -> FastAPI:
    """Build the app."""
    app, network = FastAPI(), load(weights)
    encoding = Batcher(lambda items: list(zip(*network.encode(items), strict=True)))
    decoding = Batcher(lambda items: list(network.decode(items)))

    @app.get("/")
    async def ready() -> Response:
        return Response(b"ready")

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        mean, std = await encoding.submit(read_png(await request.body()))
        return Response(write_latents(mean, std), media_type=JSON)

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        pixels = await decoding.submit(read_npy(await request.body()))
        return Response(write_npy(pixels), media_type=NPY)

    @app.get("/sample")
    async def sample(seed: int) -> Response:
        pixels = await decoding.submit(network.draw(seed))
        return Response(write_png(pixels), media_type=PNG)

    return app


if __name__ == "__main__":
    serve(make_app(sys.argv[2]), int(sys.argv[1]))
