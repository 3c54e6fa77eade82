"""Files as the parts of requests, read by the client."""

from pathlib import Path

import pytest

from vae_client.errors import CallError
from vae_client.sources import open_sources


def test_an_array_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    gone = tmp_path / "gone.npy"
    with pytest.raises(CallError, match=r"gone\.npy cannot be opened: No such file or directory\."):
        open_sources([gone], "elbo", ("images",), lambda array: array)
