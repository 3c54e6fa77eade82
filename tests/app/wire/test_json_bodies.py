"""JSON bodies: encodings, base64 as clients write it, nested numbers, and what is refused."""

import base64
from typing import Any

import numpy as np
import orjson
import pytest

from app.errors import MalformedRequest
from app.wire.bodies import parse_body
from app.wire.items import Picture
from app.wire.json_bodies import parse_json
from models.errors import CorruptImage, ShapeMismatch, UnsupportedMedia
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, binary, encoded
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio
LIMITS: Any = {"max_bytes": 10**6, "max_items": 4}
PICTURE = encoded(binary()[0])
IN_BASE64 = base64.b64encode(PICTURE).decode()


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


async def test_an_item_nested_too_deep_is_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"images\[0\] is nested more than 5 deep"):
        parse_json(b'{"images": [[[[[[[1]]]]]]]}')


@pytest.mark.parametrize("data", [b"", b"[1]"])
@pytest.mark.parametrize("kind", ["images", "latents"])
async def test_the_json_to_send_is_what_the_operation_takes(data: bytes, kind: str) -> None:
    with pytest.raises(MalformedRequest, match=f'Send {{"{kind}": .*\\.$') as refusal:
        parse_body(data, "application/json", **LIMITS, takes=(kind,))
    assert refusal.value.details["parameter"] == "body"
    assert refusal.value.details["suggestion"].startswith(f'{{"{kind}"')


async def test_a_picture_in_a_data_url_of_another_type_is_to_be_named() -> None:
    url = f"data:image/jpgg;base64,{base64.b64encode(encoded(binary()[0])).decode()}"
    with pytest.raises(UnsupportedMedia, match=r"Name its type: one of image/png, ") as refusal:
        parse_json(orjson.dumps({"images": [url]}))
    assert "onvert" not in str(refusal.value)


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
