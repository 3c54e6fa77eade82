"""uvicorn as fast as it is: uvloop, httptools, no access log."""

import uvicorn
from fastapi import FastAPI

JSON, NPY, PNG = "application/json", "application/x-npy", "image/png"


def serve(app: FastAPI, port: int) -> None:
    """Serve on 127.0.0.1 until a signal comes."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
