"""Floor of serving: a bare uvicorn and Starlette that read a body and answer with constant bytes.

There is no parsing, no compute and no log. `python -m benchmarks.bare PORT` starts it.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    """Answer with as many bytes as the path says."""
    await request.body()
    return Response(b"0" * int(request.path_params["size"]), media_type="application/octet-stream")


def main(port: int) -> None:
    """Serve on 127.0.0.1 until a signal comes."""
    app = Starlette(routes=[Route("/{size:int}", answer, methods=["GET", "POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
