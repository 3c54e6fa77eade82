"""The answer to a request that is refused for want of room, before anything of it is read."""

from random import getrandbits

import orjson

from app.api.problems import is_open_inference, title
from app.api.redaction import redact_path
from app.wire.media_types import JSON_TYPE, PROBLEM_TYPE


def no_room(target: bytes, limit: int, root: str = "") -> bytes:
    """A 503 by hand, as its bytes: under overload most answers are these.

    Args:
        target: Path and query of the request.
        limit: VAE_MAX_QUEUE_REQUESTS.
        root: Path prefix of the service.
    """
    request_id = f"{getrandbits(128):032x}"
    path = target.partition(b"?")[0][:200].decode()
    problem = {
        "type": f"{root}/problems/queue-full",
        "title": title("queue-full"),
        "status": 503,
        "detail": f"The server is busy: {limit} requests wait or compute (VAE_MAX_QUEUE_REQUESTS). "
        "Retry in 1 s.",
        "instance": redact_path(path),
        "request_id": request_id,
        "limit": limit,
    }
    media_type, document = PROBLEM_TYPE, problem
    if is_open_inference(path, root):
        media_type, document = JSON_TYPE, {"error": problem["detail"]}
    body = orjson.dumps(document)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncache-control: no-store\r\n"
        f"content-type: {media_type}\r\nx-request-id: {request_id}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
