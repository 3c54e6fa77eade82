"""The deadline of a request: the header X-Request-Timeout-Seconds, up to the server's own."""

import math
from collections.abc import Mapping

from app.errors import InvalidParameter
from app.settings import Settings

HEADER = "X-Request-Timeout-Seconds"
_NAME = HEADER.lower().encode()


def read_timeout(headers: Mapping[bytes, bytes], settings: Settings) -> float:
    """Seconds that a request may take.

    Raises:
        InvalidParameter: The header is no positive number.
    """
    limit = settings.request_timeout_seconds
    given = headers.get(_NAME)
    if given is None:
        return limit
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        received = given.decode("latin-1")[:60]
        raise InvalidParameter(
            f"{HEADER}: {received} is no positive number of seconds. Send {HEADER}: {limit:g}.",
            parameter=HEADER,
            received=received,
            limit=limit,
            suggestion=f"{HEADER}: {limit:g}",
        )
    return min(seconds, limit)
