"""Warnings of answers: each code where it is due, and none for proper pictures."""

import io
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from httpx import AsyncClient, Response
from PIL import Image
from sklearn.datasets import load_digits

from app.operations.table import OPERATIONS
from app.settings import PRETRAINED, Settings
from models.warnings import MEANINGS, Code
from tests.app.conftest import client_of
from tests.app.pictures import NPY, PNG, encoded, npy, read_npz
from tests.app.server_process import ROOT
from tests.training.vae_lab import exit_code

pytestmark = pytest.mark.anyio

DIGITS = load_digits().images.astype(np.uint8)
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def grey(digit: np.ndarray, side: int = 8) -> np.ndarray:
    """A digit of 17 levels in bytes, enlarged to a side."""
    picture = Image.fromarray((digit / 16 * 255).astype(np.uint8))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


THREE = grey(DIGITS[3])
PAPER = 255 - THREE


async def send(
    client: AsyncClient,
    picture: np.ndarray,
    operation: str = "elbo",
    model: str = "digits",
    **asked: Any,
) -> Response:
    answer = await client.post(
        f"/v1/models/{model}/{operation}", content=encoded(picture), headers=PNG, params=asked
    )
    assert answer.status_code == 200, answer.text
    return answer


def codes(answer: Response) -> list[str]:
    return [warning["code"] for warning in answer.json()["warnings"]]


def test_every_code_has_its_meaning_and_its_row_in_the_page() -> None:
    assert set(get_args(Code)) == set(MEANINGS)
    for code, meaning in MEANINGS.items():
        assert f"| `{code}` | {meaning} |" in PAGE


@pytest.mark.slow
async def test_proper_pictures_get_no_warning() -> None:
    pictures = DIGITS[:100].astype(np.float32)[:, None] / 16
    async with client_of(Settings()) as client:
        for operation in ("encode", "reconstruct", "elbo"):
            answer = await client.post(
                f"/v1/models/digits/{operation}?check=true", content=npy(pictures), headers=NPY
            )
            assert answer.json()["warnings"] == [], operation
            assert "X-Warnings" not in answer.headers


@pytest.mark.slow
async def test_dark_digits_on_light_paper_look_inverted_with_the_gain_in_nats() -> None:
    async with client_of(Settings()) as client:
        for operation in ("encode", "reconstruct", "elbo", "log-likelihood"):
            answer = await send(client, PAPER, operation, check=True)
            found = {w["code"]: w for w in answer.json()["warnings"]}
            assert found["looks_inverted"]["item"] == 0
            assert "nats" in found["looks_inverted"]["message"]
            assert found["looks_inverted"]["message"].endswith("Add invert=true.")
            assert codes(await send(client, PAPER, operation, check=True, invert=True)) == []
        undone = await send(client, THREE, check=True, invert=True)
        assert undone.json()["warnings"][0]["message"].endswith("Leave out invert=true.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.full((28, 28), 90, np.uint8), {"constant"}),
        (grey(DIGITS[3], 28)[:, 8:20], {"aspect_ratio_changed"}),
        (grey(DIGITS[3], 280), {"shrunk"}),
        (grey(DIGITS[3], 6), {"enlarged"}),
        (grey(DIGITS[3], 28) // 16, {"range_unused"}),
        (255 - grey(DIGITS[3], 28), {"looks_inverted", "below_references"}),
        (np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8), {"below_references"}),
    ],
)
async def test_a_doubtful_picture_is_scored_and_the_doubt_is_named(
    picture: np.ndarray, expected: set[str]
) -> None:
    async with client_of(Settings()) as client:
        answer = await send(client, picture, model="mnist", check=True, seed=1)
    assert expected <= set(codes(answer))
    assert answer.json()["results"][0]["elbo_nats"] is not None


@pytest.mark.slow
async def test_photographs_and_sheets_of_digits_are_doubtful_for_a_model_of_digits() -> None:
    sheet = np.block(
        [[grey(DIGITS[8 * row + column], 28) for column in range(8)] for row in range(8)]
    )
    y, x = np.mgrid[0:240, 0:320]
    photograph = ((np.sin(x / 40) + np.cos(y / 30) + 2) * 60).astype(np.uint8)
    async with client_of(Settings()) as client:
        for picture in (sheet, photograph):
            assert codes(await send(client, picture, model="mnist"))


@pytest.mark.slow
async def test_a_negative_in_which_nothing_is_left_looks_no_better() -> None:
    white_ink = np.full((8, 8, 4), 255, np.uint8)
    white_ink[..., 3] = THREE
    black_ink = white_ink.copy()
    black_ink[..., :3] = 0
    plain = np.full((8, 8), 200, np.uint8)
    async with client_of(Settings()) as client:
        found = [
            codes(await send(client, picture, check=True))
            for picture in (white_ink, black_ink, plain)
        ]
        undone = codes(await send(client, black_ink, check=True, invert=True))
    assert found[:2] == [[], ["constant"]]
    assert "looks_inverted" not in found[2]
    assert undone == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "model", "asked"),
    [
        ("elbo", "mnist", {"num_samples": 1}),
        ("elbo", "mnist", {"binarize": "threshold"}),
        ("log-likelihood", "mnist", {"num_samples": 1000}),
        ("log-likelihood", "mnist", {"num_samples": 50}),
        ("log-likelihood", "mnist", {"num_samples": 10, "estimator": "prior", "check": True}),
        ("elbo", "mnist-labelled", {"label": "3"}),
        ("log-likelihood", "mnist-labelled", {"label": "3", "num_samples": 50}),
        ("classify", "mnist-labelled", {"check": True}),
        ("encode", "mnist", {"check": True}),
        ("reconstruct", "mnist", {"check": True}),
    ],
)
async def test_a_picture_of_another_domain_is_doubtful_whatever_is_asked(
    operation: str, model: str, asked: dict[str, Any]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    async with client_of(Settings()) as client:
        answer = await send(client, noise, operation, model, **asked)
    (found,) = [w for w in answer.json()["warnings"] if w["code"] == "below_references"]
    assert "held-out test images, the lowest" in found["message"]


@pytest.mark.slow
async def test_the_likeliest_cause_comes_first() -> None:
    dark = (255 - grey(DIGITS[3], 280))[:, 40:200]
    async with client_of(Settings()) as client:
        answer = await send(client, dark, model="mnist", check=True)
    assert codes(answer) == [
        "looks_inverted",
        "below_references",
        "aspect_ratio_changed",
        "shrunk",
    ]


@pytest.mark.slow
async def test_the_picture_of_a_pair_that_is_doubtful_is_named() -> None:
    pair = np.stack([THREE, PAPER])
    async with client_of(Settings()) as client:
        answer = await client.post(
            "/v1/models/digits/interpolate?check=true", content=npy(pair), headers=NPY
        )
    assert [(w["code"], w["item"]) for w in answer.json()["warnings"]] == [
        ("looks_inverted", 1),
        ("below_references", 1),
    ]


@pytest.mark.slow
async def test_checking_changes_no_number() -> None:
    async with client_of(Settings()) as client:
        for name, operation in OPERATIONS.items():
            if "check" not in operation.parameters.model_fields or name == "interpolate":
                continue
            model = "mnist-labelled" if name == "classify" else "mnist"
            seed = {"seed": 1} if "seed" in operation.parameters.model_fields else {}
            plain, checked = [
                (await send(client, PAPER, name, model, check=check, **seed)).json()
                for check in (False, True)
            ]
            assert plain.pop("warnings") != checked.pop("warnings"), name
            assert plain == checked, name


@pytest.mark.slow
async def test_a_label_that_the_classifier_rules_out_is_doubtful() -> None:
    async with client_of(Settings()) as client:
        three = grey(DIGITS[3], 28)
        asked = {"model": "mnist-labelled", "check": True}
        found = {
            w["code"]: w for w in (await send(client, three, label="1", **asked)).json()["warnings"]
        }
        likely = codes(await send(client, three, label="3", **asked))
    assert "label=1" in found["label_unlikely"]["message"]
    assert "label_unlikely" not in likely


@pytest.mark.slow
async def test_latents_that_the_prior_does_not_draw_are_doubtful() -> None:
    async with client_of(Settings()) as client:
        answers = [
            await client.post(
                "/v1/models/digits/decode", json={"latents": [[0.1] * 8, [scale] * 8]}
            )
            for scale in (1.0, 9.0)
        ]
    assert [codes(answer) for answer in answers] == [[], ["latents_far"]]
    assert answers[1].json()["warnings"][0]["item"] == 1


@pytest.mark.slow
async def test_every_form_of_an_answer_says_the_warnings() -> None:
    two = np.stack([THREE, np.zeros_like(THREE)])
    async with client_of(Settings()) as client:
        for form in ("json", "npy", "npz"):
            answer = await client.post(
                f"/v1/models/digits/encode?format={form}", content=npy(two), headers=NPY
            )
            assert answer.headers["X-Warnings"] == "constant;item=1"
        many = np.zeros((100, 8, 8), np.uint8)
        cut = await client.post("/v1/models/digits/encode", content=npy(many), headers=NPY)
    assert '"code":"constant"' in str(read_npz(answer.content)["warnings"])
    assert len(cut.headers["X-Warnings"]) == 1024
    assert cut.headers["X-Warnings"].endswith("...")


@pytest.mark.slow
async def test_twelve_bits_in_a_sixteen_bit_file_are_doubtful_until_white_is_given() -> None:
    buffer = io.BytesIO()
    Image.fromarray(grey(DIGITS[3], 28).astype(np.uint16) * 16).save(buffer, "TIFF")
    headers = {"Content-Type": "image/tiff"}
    async with client_of(Settings()) as client:
        dark, proper = [
            await client.post(
                f"/v1/models/mnist/elbo{query}", content=buffer.getvalue(), headers=headers
            )
            for query in ("?seed=1", "?seed=1&pixel_max=4095")
        ]
    (warning,) = [w for w in dark.json()["warnings"] if w["code"] == "range_unused"]
    assert warning["message"].endswith("Add pixel_max=4095 if 4095 is white.")
    assert "range_unused" not in codes(proper)
    assert proper.json()["results"] != dark.json()["results"]


@pytest.mark.slow
async def test_exact_scores_of_an_exported_model_have_percentiles(tmp_path: Path) -> None:
    run, models = str(tmp_path / "run"), str(tmp_path / "models")
    assert exit_code("train", "digits-ppca", "--run-dir", run) == 0
    assert exit_code("export", run, "--name", "ppca", "--repository", models) == 0
    async with client_of(Settings(model_repository=Path(models))) as client:
        asked = {"content": npy(DIGITS[:4].astype(np.float32)[:, None] / 16), "headers": NPY}
        for query in ("estimator=exact", "estimator=iwae&num_samples=10"):
            results = (await client.post(f"/v1/log-likelihood?{query}", **asked)).json()["results"]  # type: ignore[arg-type]
            for result in results:
                assert 0 < result["percentile"] <= 100, query
                assert result["percentile_reason"] is None


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="needs the shipped models")
async def test_an_autoencoder_is_not_checked(tmp_path: Path) -> None:
    from tests.app.family_repository import make_families

    async with client_of(Settings(model_repository=make_families(tmp_path / "models"))) as client:
        picture = np.zeros((4, 4), np.uint8)
        picture[1:3] = 255
        answer = await send(client, picture, "encode", "autoencoder", check=True)
    assert codes(answer) == []


async def test_a_label_is_checked_only_where_there_is_a_classifier(tmp_path: Path) -> None:
    from tests.app.family_repository import LABELLED, LABELS, make_families

    picture = np.zeros((4, 4), np.uint8)
    picture[1:3] = 255
    async with client_of(Settings(model_repository=make_families(tmp_path / "models"))) as client:
        for model in LABELLED:
            answer = await send(client, picture, "encode", model, check=True, label=LABELS[0])
            assert "label_unlikely" not in codes(answer), model
