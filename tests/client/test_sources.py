"""Files as the parts of requests, read by the client."""

import io
from pathlib import Path

import numpy as np
import pytest

from vae_client.errors import CallError, UnreadableItems
from vae_client.sources import ReadArrays, Source, array_source


def as_it_is(array: np.ndarray) -> np.ndarray:
    return array


READ = ReadArrays(as_it_is, as_it_is, lambda array: array.ndim == 2)


def test_an_array_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    gone = tmp_path / "gone.npy"
    with pytest.raises(CallError, match=r"gone\.npy cannot be opened: No such file or directory\."):
        array_source(gone, str(gone), "elbo", ("images",), READ)


def test_an_array_in_memory_has_rows_and_its_faults_are_explained() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3)))
    source = array_source(io.BytesIO(buffer.getvalue()), "-", "decode", ("latents",), READ)
    assert source.labels == ("-[0]", "-[1]")
    with pytest.raises(CallError, match=r"- is not a whole array .* Send it again\."):
        array_source(io.BytesIO(buffer.getvalue()[:90]), "-", "decode", ("latents",), READ)


def test_one_number_is_no_array_of_latents() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.float32(3))
    with pytest.raises(CallError, match=r"z.npy holds one number; decode takes latents of shape"):
        array_source(io.BytesIO(buffer.getvalue()), "z.npy", "decode", ("latents",), READ)


def test_an_array_that_does_not_fit_in_memory_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "load", exhausted)
    np.zeros(3).tofile(tmp_path / "z.npy")
    with pytest.raises(CallError, match=r"z.npy holds more numbers than there is memory"):
        array_source(tmp_path / "z.npy", "z.npy", "decode", ("latents",), READ)


def test_requests_are_cut_by_bytes_and_by_items(tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(bytes(25))
    source = Source(tuple("abcde"), (b"1234567890", b"1234567890", b"1", big, tmp_path / "gone"))
    assert [part.labels for part in source.cut(32, 20)] == [("a", "b"), ("c",), ("d",), ("e",)]
    assert [part.labels for part in source.cut(2, 1000)] == [("a", "b"), ("c", "d"), ("e",)]


def test_rows_of_an_array_are_cut_by_their_bytes() -> None:
    array = np.zeros((5, 1, 2, 2), np.float32)
    source = Source(tuple("abcde"), array=array, defaults={"pixel_max": "255"})
    cut = list(source.cut(32, 40))
    assert [len(part) for part in cut] == [2, 2, 1]
    assert cut[2].array is not None
    assert cut[2].array.shape == (1, 1, 2, 2)
    assert cut[2].defaults == {"pixel_max": "255"}


def test_nothing_is_cut_into_no_part() -> None:
    assert list(Source(()).cut(3)) == []


def test_a_file_that_vanished_is_named_by_its_position(tmp_path: Path) -> None:
    source = Source(("a", "b"), (b"1", tmp_path / "b"))
    with pytest.raises(UnreadableItems, match="b: No such file or directory") as raised:
        source.request()
    assert list(raised.value.items) == [1]


def test_pictures_are_sent_under_no_name_and_type_of_their_own(tmp_path: Path) -> None:
    odd = tmp_path / "x\udcff\n.JPG"
    odd.write_bytes(b"picture")
    request = Source(("x",), (odd,)).request()
    assert request == {"files": [("images", ("picture", b"picture", "application/octet-stream"))]}


@pytest.mark.parametrize(
    ("arrays", "shape", "kind"),
    [
        ({"arr": 0}, (2, 3), "latents"),
        ({"arr": 0}, (2, 3, 3), "images"),
        ({"images": 0}, (2, 3), "images"),
        ({"latents": 0}, (2, 3, 3), "latents"),
    ],
)
def test_an_unnamed_array_is_latents_where_it_has_their_shape(
    arrays: dict[str, int], shape: tuple[int, ...], kind: str
) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.zeros(shape) for name in arrays})
    data, takes = io.BytesIO(buffer.getvalue()), ("images", "latents")
    assert array_source(data, "z.npz", "interpolate", takes, READ).kind == kind
