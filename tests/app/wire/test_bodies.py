"""Bodies that lie, are broken, or are of no type that is read."""

import base64
import gzip
import io
import pickle
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import orjson
import pytest

from app.errors import MalformedRequest
from app.wire.bodies import parse_body
from app.wire.json_bodies import parse_json
from models.errors import UnsupportedMedia, VAEError
from models.images import ImageSpec, read_picture
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, NPY, NPZ, PNG, binary, encoded, npy, npz
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("media_type", ["text/plain", "image/svg+xml", "image/avif", "x-icon"])
async def test_a_body_of_another_type_is_unsupported(
    open_client: ClientFactory, media_type: str
) -> None:
    headers = {"Content-Type": media_type}
    async with open_client() as client:
        response = await client.post("/v1/encode", content=encoded(binary()[0]), headers=headers)
    assert "image/png" in refused(response, 415, "unsupported-media")["detail"]


async def test_bytes_of_no_type_in_particular_say_themselves_what_they_are(
    open_client: ClientFactory,
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    async with open_client() as client:
        picture = await client.post("/v1/encode", content=encoded(binary()[0]), headers=headers)
        nothing = await client.post("/v1/encode", content=b"nothing", headers=headers)
    assert picture.status_code == 200
    refused(nothing, 415, "unsupported-media")


async def test_a_picture_of_another_type_than_it_says_is_unsupported(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        response = await client.post(
            "/v1/encode", content=encoded(binary()[0]), headers={"Content-Type": "image/jpeg"}
        )
    refused(response, 415, "unsupported-media")


async def test_a_compressed_body_is_unsupported(open_client: ClientFactory) -> None:
    headers = {**PNG, "Content-Encoding": "gzip"}
    async with open_client() as client:
        response = await client.post("/v1/encode", content=b"", headers=headers)
    refused(response, 415, "unsupported-media")


@pytest.mark.parametrize("headers", [PNG, NPY, NPZ])
async def test_an_empty_or_truncated_body_is_corrupt(
    open_client: ClientFactory, headers: dict[str, str]
) -> None:
    whole = {
        "image/png": encoded(binary()[0]),
        "application/x-npy": npy(binary()),
        "application/x-npz": npz(images=binary()),
    }[headers["Content-Type"]]
    async with open_client() as client:
        for data in (b"", whole[: len(whole) * 2 // 3]):
            response = await client.post("/v1/encode", content=data, headers=headers)
            refused(response, 400, "corrupt-image")


async def test_a_body_in_chunks_without_a_length_is_read_and_bounded(
    open_client: ClientFactory,
) -> None:
    data = encoded(binary()[0])

    async def chunks(times: int) -> AsyncIterator[bytes]:
        for _ in range(times):
            for i in range(0, len(data), 10):
                yield data[i : i + 10]

    async with open_client(max_body_bytes=len(data)) as client:
        whole = await client.post("/v1/encode", content=chunks(1), headers=PNG)
        over = await client.post("/v1/encode", content=chunks(4), headers=PNG)
    assert whole.status_code == 200
    refused(over, 413, "payload-too-large")


async def test_the_type_that_curl_sends_by_default_gets_the_header_to_add() -> None:
    media_type = "application/x-www-form-urlencoded"
    with pytest.raises(UnsupportedMedia, match="curl sends by default") as refusal:
        parse_body(b"", media_type, max_bytes=9, max_items=1)
    assert refusal.value.details["suggestion"] == "-H 'Content-Type: image/png'"


LIMITS: Any = {"max_bytes": 10**6, "max_items": 4}
FORM = "multipart/form-data; boundary=x"


def form_of(name: str, data: bytes, media_type: str = "") -> bytes:
    """A form with one file."""
    kind = f"Content-Type: {media_type}\r\n" if media_type else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n{kind}\r\n'
    return head.encode() + data + b"\r\n--x--\r\n"


async def test_a_decoder_of_latents_suggests_no_picture(open_client: ClientFactory) -> None:
    async with open_client() as client:
        empty = await client.post("/v1/decode", content=b"", headers=JSON)
        untyped = await client.post("/v1/decode", content=b"{}")
        file = await client.post("/v1/decode", files=[("file", ("a.png", b"x", "image/png"))])
    assert "images" not in refused(empty, 400, "malformed-request")["detail"]
    problem = refused(untyped, 415, "unsupported-media")
    assert problem["suggestion"] == "application/json"
    assert "image/png" not in problem["allowed"]
    problem = refused(file, 422, "invalid-parameter")
    assert (problem["parameter"], problem["allowed"]) == ("file", ["latents"])
    assert problem["suggestion"] == "curl -F latents=@FILE"
    assert problem["detail"].endswith("Files go into latents (npy): curl -F latents=@FILE.")


@pytest.mark.parametrize(
    ("data", "words", "media_type"),
    [
        (npy(binary()), "an npy array", "application/x-npy"),
        (npz(images=binary()), "a zip file, as npz is", "application/x-npz"),
        (b' {"images": []}', "JSON", "application/json"),
        (base64.b64encode(encoded(binary()[0])), "base64 text", "application/json"),
    ],
    ids=["npy", "npz", "json", "base64"],
)
@pytest.mark.parametrize("sent_as", ["image/png", "image/*"])
async def test_what_is_no_picture_gets_the_content_type_to_send(
    data: bytes, words: str, media_type: str, sent_as: str
) -> None:
    if sent_as == "image/*" and media_type != "application/json":
        assert parse_body(data, sent_as, **LIMITS).images  # its first bytes say what it is
        return
    with pytest.raises(UnsupportedMedia) as refusal:
        parse_body(data, sent_as, **LIMITS)
    assert str(refusal.value).startswith(f"The body is {words}, not a picture.")
    assert str(refusal.value).endswith(f"Content-Type: {media_type}.")
    assert refusal.value.details["parameter"] == "body"
    assert refusal.value.details["suggestion"] == f"-H 'Content-Type: {media_type}'"


async def test_an_array_in_the_place_of_a_picture_names_the_place() -> None:
    text = base64.b64encode(npz(images=binary())).decode()
    with pytest.raises(UnsupportedMedia, match=r"^images\[0\] is a zip file") as refusal:
        parse_json(f'{{"images": ["{text}"]}}'.encode())
    assert refusal.value.details["parameter"] == "images[0]"
    with pytest.raises(
        UnsupportedMedia, match=r"The file in images is a zip file.*x-npz"
    ) as refusal:
        parse_body(form_of("images", npz(images=binary()), "application/x-npz"), FORM, **LIMITS)
    assert refusal.value.details["parameter"] == "images"


async def test_an_array_sent_as_json_gets_the_content_type_to_send() -> None:
    with pytest.raises(MalformedRequest, match=r"an npy array, not JSON\. Send") as refusal:
        parse_body(npy(binary()), "application/json", **LIMITS)
    assert refusal.value.details["suggestion"] == "-H 'Content-Type: application/x-npy'"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("text/jsn", "application/json"),
        ("image/pngg", "image/png"),
        ("application/jsn", "application/json"),
    ],
)
async def test_a_type_near_an_allowed_one_gets_that_one(sent: str, meant: str) -> None:
    with pytest.raises(UnsupportedMedia, match=f"Send Content-Type: {meant}") as refusal:
        parse_body(b"", sent, **LIMITS)
    details = refusal.value.details
    assert (details["parameter"], details["suggestion"]) == ("Content-Type", meant)


async def test_a_pictures_wrong_type_in_a_form_has_the_right_one_to_paste() -> None:
    with pytest.raises(UnsupportedMedia, match="Send it as image/png: ") as refusal:
        parse_body(form_of("images", encoded(binary()[0]), "image/jpgg"), FORM, **LIMITS)
    assert refusal.value.details["parameter"] == "images"
    assert refusal.value.details["suggestion"] == "curl -F 'images=@FILE;type=image/png'"


WORDS = {
    b"Milk and eggs": "text that begins with 'Milk and eggs'",
    "K\xe4se, Br\xf6tchen".encode("latin-1"): "text in another encoding than UTF-8",
    "Milk".encode("utf-16"): "text in UTF-16",
    b"%PDF-1.7\n\xff\xfe": "PDF",
    b"\0\0\0\x18ftypmp42": "a video",
    b"\0\x05\x16\x07\0\x02\0\0": "a resource fork of macOS",
    b"\0\0\0\x01Bud1\0\0": "a .DS_Store of macOS",
}


@pytest.mark.parametrize("data", WORDS)
@pytest.mark.parametrize("sent", ["text/plain", "application/pdf", "video/mp4", "image/png", ""])
async def test_what_is_no_picture_is_named_and_never_to_be_converted(
    data: bytes, sent: str
) -> None:
    spec = ImageSpec(channels=1, height=8, width=8)
    url = f"data:{sent};base64,{base64.b64encode(data).decode()}"
    for parse in (
        lambda: parse_body(form_of("images", data, sent), FORM, **LIMITS),
        lambda: parse_json(orjson.dumps({"images": [url]})),
    ):
        with pytest.raises(UnsupportedMedia, match=f"is {WORDS[data]}.* and no picture") as refusal:
            read_picture(parse().images[0].data, spec)  # type: ignore[union-attr]
        assert "onvert" not in str(refusal.value)


@pytest.mark.parametrize("sent", ["", "image/avif", "image/x-anything", "application/x-foo"])
async def test_a_body_of_another_format_of_pictures_is_named(sent: str) -> None:
    with pytest.raises(
        UnsupportedMedia, match=r"^AVIF pictures are not read here.*Convert it to PNG"
    ):
        parse_body(b"\0\0\0\x20ftypavif", sent, **LIMITS)


@pytest.mark.parametrize(
    ("data", "sent", "fault"),
    [
        (b"\0\0\0\x18ftypmp42", "video/mp4", "The file is a video, sent as video/mp4, and no pic"),
        (b"Milk and eggs", "", "The file is text that begins with 'Milk and eggs', and no picture"),
        (b"Milk and eggs", "text/plain", "Content-Type 'text/plain' is not read here"),
        (b"iVBORw0KGgo", "", "The body is base64 text, not a picture"),
    ],
)
async def test_a_body_that_is_no_picture_is_named(data: bytes, sent: str, fault: str) -> None:
    with pytest.raises(UnsupportedMedia) as refusal:
        parse_body(data, sent, **LIMITS)
    assert str(refusal.value).startswith(fault)


@pytest.mark.parametrize("name", ["word/document.xml", "a.png"])
async def test_a_zip_file_in_the_place_of_a_picture_is_to_be_unpacked(name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"content")
    with pytest.raises(UnsupportedMedia, match=r"images is a zip file, not a picture\. Unpack it"):
        parse_body(form_of("images", buffer.getvalue(), "application/zip"), FORM, **LIMITS)
    with pytest.raises(UnsupportedMedia, match="application/x-npz"):
        parse_body(form_of("images", npz(images=binary()), "application/zip"), FORM, **LIMITS)


# What clients send ------------------------------------------------------------------------------

PICTURE = encoded(binary()[0])
IN_BASE64 = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("PNG", ["image/x-png", "image/apng", "IMAGE/PNG", "image/png; q=1", "image/*", "*/*", ""]),
        ("JPEG", ["image/jpg", "image/pjpeg", "image/jfif", "image/x-jpeg", "image/jpeg;a=b"]),
        ("BMP", ["image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"]),
        ("TIFF", ["image/tif", "image/x-tiff", "image/x-tif"]),
        ("GIF", ["image/x-gif", "binary/octet-stream", "application/octet-stream"]),
        ("WebP", ["image/x-webp"]),
    ],
)
async def test_a_picture_is_read_by_every_name_of_its_type(
    open_client: ClientFactory, kind: str, names: list[str]
) -> None:
    data = encoded(binary()[0], kind)
    async with open_client() as client:
        for name in names:
            headers = {"Content-Type": name} if name else {}
            response = await client.post("/v1/encode", content=data, headers=headers)
            assert response.status_code == 200, (name, response.text)
            if name:
                text = f"data:{name.split(';')[0]};base64,{base64.b64encode(data).decode()}"
                response = await client.post("/v1/encode", json={"images": [text]})
                assert response.status_code == 200, (name, response.text)
                form = [("images", ("a", data, name))]
                response = await client.post("/v1/encode", files=form)
                assert response.status_code == 200, (name, response.text)


@pytest.mark.parametrize("media_type", ["", "application/octet-stream", "binary/octet-stream"])
async def test_arrays_say_themselves_what_they_are(media_type: str) -> None:
    for data in (npy(binary()), npz(images=binary())):
        (array,) = parse_body(data, media_type, **LIMITS).images
        assert np.array_equal(array, binary())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(npy(binary())), "compressed with gzip"),
        (pickle.dumps(binary()), "a pickle of Python objects"),
        (PICTURE.replace(b"\r", b"").replace(b"\n", b""), "without its line ends"),
        (b"\x89PNG\x1a", "without its line ends"),
        (PICTURE.decode("utf-8", "replace").encode(), "read as text"),
        (PICTURE.decode("latin-1").encode(), "read as text"),
        (encoded(binary()[0], "JPEG").decode("utf-8", "replace").encode(), "read as text"),
    ],
    ids=["gzip", "pickle", "curl -d", "to NUL", "utf-8", "latin-1", "jpeg"],
)
@pytest.mark.parametrize(
    "media_type",
    ["", "image/png", "application/octet-stream", "application/x-npy", "application/json", "a/b"],
)
async def test_bytes_that_are_never_read_are_named(
    data: bytes, words: str, media_type: str
) -> None:
    with pytest.raises(UnsupportedMedia, match=words) as refusal:
        parse_body(data, media_type, **LIMITS)
    assert refusal.value.details["parameter"] == "body"


@pytest.mark.parametrize("media_type", ["application/x-npy", "application/json"])
async def test_a_picture_sent_as_something_else_gets_its_content_type(media_type: str) -> None:
    with pytest.raises(VAEError) as refusal:
        parse_body(encoded(binary()[0], "JPEG"), media_type, **LIMITS)
    assert "a picture in JPEG, not " in str(refusal.value)
    assert refusal.value.details["suggestion"] == "-H 'Content-Type: image/jpeg'"


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        (b'{"images": [[[0]]]}', "-H 'Content-Type: application/json'."),
        (PICTURE, "-H 'Content-Type: image/png' and --data-binary"),
        (npy(binary()), "-H 'Content-Type: application/x-npy' and --data-binary"),
    ],
)
async def test_what_curl_posts_by_default_gets_the_header_of_its_bytes(
    data: bytes, fix: str
) -> None:
    with pytest.raises(UnsupportedMedia) as refusal:
        parse_body(data, "application/x-www-form-urlencoded", **LIMITS)
    assert fix in str(refusal.value)


async def test_an_empty_body_without_a_type_is_empty(open_client: ClientFactory) -> None:
    async with open_client() as client:
        problem = refused(await client.post("/v1/encode"), 400, "malformed-request")
    assert problem["detail"].startswith("The body is empty.")


async def test_a_body_with_get_is_refused_and_an_empty_one_is_none(
    open_client: ClientFactory,
) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async with open_client() as client:
        sent = await client.request("GET", "/v1/sample", json={"n": 3})
        empty = await client.request("GET", "/v1/sample?n=1", content=nothing())
        none = await client.request("GET", "/v1/sample?n=1", headers={"Content-Length": "0"})
    problem = refused(sent, 400, "malformed-request")
    assert problem["suggestion"] == "GET /v1/sample?n=16&seed=1"
    assert (empty.status_code, none.status_code) == (200, 200)


async def test_too_many_pixels_name_the_setting(open_client: ClientFactory) -> None:
    async with open_client(max_pixels=63) as client:
        for response in (
            await client.post("/v1/encode", content=PICTURE, headers=PNG),
            await client.post("/v1/encode", content=npy(binary(1)[0]), headers=NPY),
        ):
            detail = refused(response, 413, "payload-too-large")["detail"]
            assert "the limit is 63 (VAE_MAX_PIXELS)." in detail


@pytest.mark.parametrize(
    ("data", "words", "meant"),
    [
        (b'{"images": []}', "JSON", "application/json"),
        (PICTURE, "a picture in PNG", "image/png"),
        (npz(images=binary()), "a zip file, as npz is", "application/x-npz"),
    ],
)
async def test_bytes_of_a_type_that_is_not_read_say_what_to_send(
    data: bytes, words: str, meant: str
) -> None:
    with pytest.raises(UnsupportedMedia) as refusal:
        parse_body(data, "text/plain;charset=UTF-8", **LIMITS)
    fault = f"Content-Type 'text/plain' is not read here, and the body is {words}."
    assert str(refusal.value) == f"{fault} Send Content-Type: {meant}."
    assert refusal.value.details["suggestion"] == meant
