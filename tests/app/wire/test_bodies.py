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
from app.wire.bodies import Picture, parse_body, parse_json
from models.errors import CorruptImage, ShapeMismatch, UnsupportedMedia, VAEError
from models.images import ImageSpec, read_picture
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, NPY, NPZ, PNG, binary, encoded, npy, npz
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "malformed-request"),
        (b"{", 400, "malformed-request"),
        (b"[1]", 400, "malformed-request"),
        (b"null", 400, "malformed-request"),
        (b"\xff\xfe", 400, "malformed-request"),
        (b'{"images": ["\xff"]}', 400, "malformed-request"),
        (b"[" * 100_000, 400, "malformed-request"),
        (b'{"images": ' + b"[" * 900 + b"]" * 900 + b"}", 422, "shape-mismatch"),
        (b'{"images": [[[NaN]]]}', 422, "invalid-parameter"),
        (b'{"images": [[[-Infinity, 0]]]}', 422, "invalid-parameter"),
        (b'{"images": [[[1e400]]]}', 400, "malformed-request"),
        (b'{"images": [[[99999999999999999999999999]]]}', 422, "out-of-support"),
        (b'{"images": [[[1, 2], [3, 18446744073709551615]]]}', 422, "out-of-support"),
        (b'{"images": [[[0]]], "\\ud800": 1}', 400, "malformed-request"),
        (b'{"images": [[[0]]], "nonsense": 1}', 422, "invalid-parameter"),
        (b'{"images": [[[0]]], "seed": 1, "seed": 2}', 200, ""),
    ],
)
async def test_json_that_is_broken_deep_or_not_finite_is_refused(
    open_client: ClientFactory, body: bytes, status: int, slug: str
) -> None:
    async with open_client() as client:
        response = await client.post("/v1/encode", content=body, headers=JSON)
    if status == 200:
        assert response.status_code == 200
    else:
        refused(response, status, slug)


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


# Multipart -------------------------------------------------------------------------------------


async def test_multipart_without_its_boundary_is_malformed(open_client: ClientFactory) -> None:
    body = b"--x\r\nnonsense"
    async with open_client() as client:
        for media_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
            response = await client.post(
                "/v1/encode", content=body, headers={"Content-Type": media_type}
            )
            refused(response, 400, "malformed-request")


async def test_parts_are_counted_before_they_are_parsed(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with open_client(max_items=2) as client:
        response = await client.post("/v1/encode", content=part * 3 + b"--x--", headers=headers)
        assert "VAE_MAX_ITEMS" in refused(response, 413, "payload-too-large")["detail"]
        monkeypatch.setattr("app.wire.multipart._Collector", None)
        response = await client.post("/v1/encode", content=part * 99 + b"--x--", headers=headers)
        assert "VAE_MAX_ITEMS" in refused(response, 413, "payload-too-large")["detail"]


async def test_multipart_that_ends_early_is_malformed(open_client: ClientFactory) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body = part + encoded(binary()[0]) + b"\r\n" + part + b"\x89PNG"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with open_client() as client:
        response = await client.post("/v1/encode", content=body, headers=headers)
    refused(response, 400, "malformed-request")


async def test_multipart_fields_are_known_and_given_once(open_client: ClientFactory) -> None:
    file = ("images", ("a.png", encoded(binary()[0]), "image/png"))
    text = ("images", ("a.txt", b"hello", "text/plain"))
    other = ("picture", file[1])
    async with open_client() as client:
        unknown = await client.post("/v1/encode", files=[other])
        twice = await client.post("/v1/encode", files=[file], data={"seed": ["1", "2"]})
        unsupported = await client.post("/v1/encode", files=[text])
        too_many = await client.post(
            "/v1/encode", files=[file], data={f"f{i}": "" for i in range(100)}
        )
    refused(unknown, 422, "invalid-parameter")
    refused(twice, 422, "invalid-parameter")
    refused(unsupported, 415, "unsupported-media")
    refused(too_many, 400, "malformed-request")


async def test_a_file_that_is_large_is_kept_in_memory(open_client: ClientFactory) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400), dtype=np.uint8)
    data = encoded(noise)
    assert len(data) > 1_500_000
    async with open_client() as client:
        response = await client.post("/v1/encode", files=[("images", ("a.png", data, "image/png"))])
    assert response.status_code == 200
    assert "1400x1400 to 8x8" in response.json()["preprocessing"][0][0]


async def test_the_type_that_curl_sends_by_default_gets_the_header_to_add() -> None:
    media_type = "application/x-www-form-urlencoded"
    with pytest.raises(UnsupportedMedia, match="curl sends by default") as refusal:
        parse_body(b"", media_type, max_bytes=9, max_items=1)
    assert refusal.value.details["suggestion"] == "-H 'Content-Type: image/png'"


async def test_an_item_nested_too_deep_is_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"images\[0\] is nested more than 5 deep"):
        parse_json(b'{"images": [[[[[[[1]]]]]]]}')


LIMITS: Any = {"max_bytes": 10**6, "max_items": 4}
FORM = "multipart/form-data; boundary=x"


def form_of(name: str, data: bytes, media_type: str = "") -> bytes:
    """A form with one file."""
    kind = f"Content-Type: {media_type}\r\n" if media_type else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n{kind}\r\n'
    return head.encode() + data + b"\r\n--x--\r\n"


@pytest.mark.parametrize("data", [b"", b"[1]"])
@pytest.mark.parametrize("kind", ["images", "latents"])
async def test_the_json_to_send_is_what_the_operation_takes(data: bytes, kind: str) -> None:
    with pytest.raises(MalformedRequest, match=f'Send {{"{kind}": .*\\.$') as refusal:
        parse_body(data, "application/json", **LIMITS, takes=(kind,))
    assert refusal.value.details["parameter"] == "body"
    assert refusal.value.details["suggestion"].startswith(f'{{"{kind}"')


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


async def test_a_picture_in_a_data_url_of_another_type_is_to_be_named() -> None:
    url = f"data:image/jpgg;base64,{base64.b64encode(encoded(binary()[0])).decode()}"
    with pytest.raises(UnsupportedMedia, match=r"Name its type: one of image/png, ") as refusal:
        parse_json(orjson.dumps({"images": [url]}))
    assert "onvert" not in str(refusal.value)


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


@pytest.mark.parametrize(
    ("entry", "error", "fault"),
    [
        ('""', CorruptImage, "images[1] is empty."),
        ("[0, 1]", ShapeMismatch, "images[1] is an array of shape (2,)."),
        ("[[]]", ShapeMismatch, "images[1] is an array of shape (1, 0)."),
    ],
)
async def test_a_json_image_at_fault_is_named(
    entry: str, error: type[Exception], fault: str
) -> None:
    with pytest.raises(error) as refusal:
        parse_json(f'{{"images": [[[0]], {entry}]}}'.encode())
    assert str(refusal.value).startswith(fault)
    assert "base64" in str(refusal.value)
    assert refusal.value.details["parameter"] == "images[1]"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('{"images": [[0, 1], [1, 0]]}', "images[0] is an array of shape (2,)."),
        ('{"images": [0, 1, 1, 0]}', "images[0] is a number."),
        ('{"latents": [0.5, -1.5]}', "latents[0] is a number."),
    ],
)
async def test_one_item_that_is_not_in_a_list_is_refused_with_the_list(
    body: str, fault: str
) -> None:
    with pytest.raises(ShapeMismatch) as refusal:
        parse_json(body.encode())
    kind = body[2:].partition('"')[0]
    assert str(refusal.value).startswith(fault)
    assert f'put it into a list: {{"{kind}": [array.tolist()]}}' in str(refusal.value)
    assert refusal.value.details["suggestion"] == f'{{"{kind}": [array.tolist()]}}'


async def test_grey_pictures_in_one_entry_are_refused() -> None:
    entry = np.zeros((5, 8, 8)).tolist()
    with pytest.raises(
        ShapeMismatch, match=r"images\[0\] is an array of shape \(5, 8, 8\), and each"
    ):
        parse_json(orjson.dumps({"images": [entry]}))


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
    "media_type",
    [
        "application/json; charset=utf-8",
        "application/json;charset=ISO-8859-1",
        "APPLICATION/JSON",
        "text/json",
        "application/x-json",
        "application/vnd.x+json",
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_json_is_read_by_every_name_and_with_a_byte_order_mark(
    media_type: str, mark: bytes
) -> None:
    body = parse_body(mark + b'{"images": [[[0]]], "seed": 3}', media_type, **LIMITS)
    assert body.members == {"seed": 3}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        *[
            ('{"images": [[[0]]]}'.encode(encoding), f"is in {name}")
            for encoding, name in (
                ("utf-16", "UTF-16"),
                ("utf-16-le", "UTF-16"),
                ("utf-16-be", "UTF-16"),
                ("utf-32", "UTF-32"),
                ("utf-32-le", "UTF-32"),
                ("utf-32-be", "UTF-32"),
            )
        ],
        ('{"label": "\xe9"}'.encode("latin-1"), "is not UTF-8 at byte 11"),
    ],
)
async def test_json_in_another_encoding_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(MalformedRequest, match=f"The JSON body {fault}") as refusal:
        parse_body(data, "application/json; charset=latin-1", **LIMITS)
    assert refusal.value.details["suggestion"] == "text.encode('utf-8')"


@pytest.mark.parametrize(
    "text",
    [
        base64.encodebytes(PICTURE).decode(),
        base64.encodebytes(PICTURE).decode().replace("\n", "\r\n"),
        f" {IN_BASE64}\r\n",
        base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
        f"DATA:IMAGE/PNG;BASE64,{IN_BASE64}",
        f"data:;base64,{IN_BASE64}",
        f"data:application/octet-stream;base64,{IN_BASE64}",
        f"data:image/png;charset=utf-8;name=a.png;base64,{IN_BASE64}",
        "data:image/png;base64," + IN_BASE64.replace("+", "%2B").replace("=", "%3D"),
        "data:image/png," + "".join(f"%{byte:02x}" for byte in PICTURE),
    ],
)
async def test_a_picture_as_text_is_read_as_every_client_writes_it(text: str) -> None:
    (picture,) = parse_json(orjson.dumps({"images": [text]})).images
    assert isinstance(picture, Picture)
    assert picture.data == PICTURE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (repr(base64.b64encode(PICTURE)), "Python's way to show bytes"),
        (IN_BASE64[:101], "cut short"),
        ("data:image/png;base64", "comma"),
        ("https://a/b.png", "URLs are not fetched"),
    ],
)
async def test_text_that_is_no_picture_says_why(text: str, words: str) -> None:
    with pytest.raises(CorruptImage, match=r"^images\[1\] is not base64") as refusal:
        parse_json(orjson.dumps({"images": [IN_BASE64, text]}))
    assert words in str(refusal.value)
    assert refusal.value.details["parameter"] == "images[1]"


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
