"""What callers name becomes sources of requests, or is explained."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.pictures import encoded, npy, npz
from vae_client import CallError
from vae_client.inputs import image_sources, latent_source
from vae_client.pictures import to_pil, to_png, to_uint8

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_a_folder_gives_its_pictures_and_arrays_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/c.jpg", ".hidden.png", ".git/d.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(GREY))
    np.save(tmp_path / "z.npy", GREY[None])
    pictures, array = image_sources(tmp_path)
    assert pictures.labels == (str(tmp_path / "a/c.jpg"), str(tmp_path / "b.PNG"))
    assert array.name == str(tmp_path / "z.npy")
    assert array.array is not None


def test_a_folder_without_pictures_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"holds no picture or array\. Read are: \.png, .*\.npz"):
        image_sources(tmp_path)


def test_nothing_and_what_is_no_item_are_refused() -> None:
    with pytest.raises(CallError, match="There is no picture to send"):
        image_sources([])
    with pytest.raises(CallError, match="Item 1 is of type int"):
        image_sources([b"1", 2])  # type: ignore[list-item]
    with pytest.raises(CallError, match="The array holds <U1, not numbers"):
        image_sources(np.array(["a"]))
    with pytest.raises(CallError, match=r"The array of shape \(0, 8, 8\) holds no images"):
        image_sources(np.zeros((0, 8, 8)))


def test_arrays_in_a_list_are_pictures_or_rows_of_them() -> None:
    (source,) = image_sources([GREY, np.zeros((2, 8, 8, 3)), np.zeros((3, 8, 8))])
    assert source.labels == ("[0]", "[1][0]", "[1][1]", "[2]")
    shapes = [np.load(io.BytesIO(one)).shape for one in source.pictures]  # type: ignore[arg-type]
    assert shapes == [(1, 1, 8, 8), (1, 8, 8, 3), (1, 8, 8, 3), (1, 3, 8, 8)]


def test_an_archive_has_one_array_or_one_of_the_right_name() -> None:
    (source,) = image_sources(npz(images=GREY, labels=np.zeros(3)))
    assert source.array is not None
    assert source.array.shape == (8, 8)
    (source,) = image_sources(npz(x=GREY))
    assert source.array is not None
    with pytest.raises(CallError, match=r"\[0\] holds a, b\. Save one array of the name images"):
        image_sources(npz(a=GREY, b=GREY))


@pytest.mark.parametrize("form", ["list", "bytes", "path", "array"])
def test_latents_come_from_files_and_memory(tmp_path: Path, form: str) -> None:
    array = np.ones((3, 4), np.float32)
    np.save(tmp_path / "z.npy", array)
    forms: dict[str, Any] = {"list": list(array), "bytes": npy(array), "array": array}
    source = latent_source(forms.get(form, tmp_path / "z.npy"))
    assert source.kind == "latents"
    assert source.array is not None
    assert source.array.tobytes() == array.tobytes()


def test_latents_that_are_none_are_refused() -> None:
    with pytest.raises(CallError, match="Latents have different shapes"):
        latent_source([np.zeros(3), np.zeros(4)])
    with pytest.raises(CallError, match=r"shape \(\) holds no latents"):
        latent_source(np.array(3.0))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "PA"]
)
def test_pil_pictures_of_every_mode_become_png(mode: str) -> None:
    picture = Image.new(mode, (4, 3))
    shown = Image.open(io.BytesIO(to_png(picture)))
    assert shown.size == (4, 3)
    assert shown.mode in ({mode} if mode not in ("CMYK", "YCbCr", "PA") else {"RGB", "RGBA"})


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pil_pictures_without_white_are_refused(mode: str) -> None:
    with pytest.raises(CallError, match="has no range from black to white"):
        to_png(Image.new(mode, (4, 3)))


def test_a_pil_picture_is_turned_as_its_file_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(GREY[:4], "JPEG", exif=exif)))
    shown = Image.open(io.BytesIO(to_png(turned)))
    assert shown.size == (4, 8)
    assert shown.getexif().get(0x0112, 1) == 1


def test_pixels_round_to_the_nearest_byte() -> None:
    images = np.array([0, 0.5 / 255, 1.4 / 255, 1], np.float32).reshape(1, 1, 2, 2)
    assert to_uint8(images).ravel().tolist() == [0, 1, 1, 255]
    (grey,) = to_pil(images)
    assert grey.mode == "L"
    (colour,) = to_pil(np.zeros((1, 3, 2, 2), np.uint8))
    assert colour.mode == "RGB"
    assert json.dumps(colour.getpixel((0, 0))) == "[0, 0, 0]"
