"""Calls of a real service: typed answers, and a split list that is answered as the whole one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.pictures import binary, encoded, npy
from tests.app.repository import SOURCE
from tests.app.server_process import Served
from tests.client.conftest import Opened
from vae_client import AsyncVAEClient, CallError, Refused, VAEClient
from vae_client.results import Answer

pytestmark = pytest.mark.anyio

PICTURES = binary(11, seed=3)
LATENTS = np.random.default_rng(5).standard_normal((11, 4)).astype(np.float32)
MORE: dict[str, dict[str, Any]] = {
    "encode": {"num_samples": 2},
    "decode": {"output": "sample"},
    "reconstruct": {"output": "sample", "with_error": True},
    "sample": {"output": "sample", "temperature": 0.7},
    "elbo": {"num_samples": 5, "check": True, "pixels": True},
    "log_likelihood": {"num_samples": 7},
    "classify": {"num_samples": 3},
    "anomaly": {"map": "error"},
}
GIVEN: dict[str, Any] = {"decode": LATENTS, "sample": 11}


def equal(a: Answer, b: Answer) -> bool:
    """Whether two answers have the same bytes."""
    assert list(a.arrays) == list(b.arrays)
    return (a.warnings, a.names, a.preprocessing) == (b.warnings, b.names, b.preprocessing) and all(
        x.dtype == b.arrays[name].dtype and x.tobytes() == b.arrays[name].tobytes()
        for name, x in a.arrays.items()
    )


@pytest.mark.parametrize("operation", MORE)
@pytest.mark.parametrize("model", ["mnist", "mnist-labelled", "colour"])
async def test_a_split_list_is_answered_byte_for_byte_as_the_whole(
    open_client: Opened, operation: str, model: str
) -> None:
    if operation == "classify" and model != "mnist-labelled":
        pytest.skip("has no labels")
    given = GIVEN.get(operation, PICTURES)
    if operation == "decode" and model == "colour":
        given = LATENTS[:, :2]
    label = {"label": "1"} if (operation, model) == ("decode", "mnist-labelled") else {}
    parameters = {**MORE[operation], **label, "first_item": 3}
    async with open_client(model=model) as client:
        whole = await getattr(client, operation)(given, **parameters, seed=9)
        assert len(whole) == 11
        for size in (1, 4):
            part = AsyncVAEClient(model=model, batch_size=size, http=client._http)
            split = await getattr(part, operation)(given, **parameters, seed=9)
            assert equal(whole, split), size
        assert repr(whole).startswith(f"{type(whole).__name__}(11 items, model '{model}' ")


@pytest.mark.parametrize("operation", ["encode", "elbo", "sample", "decode"])
async def test_a_list_over_the_service_s_limits_is_answered_all_the_same(
    open_client: Opened, operation: str
) -> None:
    given = GIVEN.get(operation, PICTURES)
    async with open_client() as client:
        whole = await getattr(client, operation)(given, seed=1)
    for limit in (
        {"max_items": 3},
        {"max_body_bytes": 1200},
        {"max_answer_numbers": 300},
        {"max_request_cost": 3},
    ):
        async with open_client(settings=limit) as client:
            assert equal(whole, await getattr(client, operation)(given, seed=1)), limit


async def test_a_thousand_pictures_of_a_folder_are_answered_as_in_one_request(
    open_client: Opened, tmp_path: Path
) -> None:
    pictures = binary(1000, seed=1)
    for i, picture in enumerate(pictures):
        (tmp_path / f"{i:04}.png").write_bytes(encoded(picture))
    async with open_client(batch_size=1024) as client:
        whole = await client.elbo(tmp_path, seed=4, num_samples=2)
        part = AsyncVAEClient(batch_size=300, http=client._http)
        assert equal(whole, await part.elbo(tmp_path, seed=4, num_samples=2))
        array = await part.elbo(pictures, seed=4, num_samples=2)
    assert whole.names[999] == str(tmp_path / "0999.png")
    assert array.names[999] == "[999]"
    assert array.elbo_nats.tobytes() == whole.elbo_nats.tobytes()


async def test_a_seed_is_drawn_here_so_that_a_request_may_be_repeated(open_client: Opened) -> None:
    async with open_client(batch_size=4) as client:
        drawn = await client.elbo(PICTURES)
        assert drawn.seed is not None
        assert drawn.seed < 2**53
        assert equal(drawn, await client.elbo(PICTURES, seed=drawn.seed))
        assert (await client.encode(PICTURES)).seed is None


async def test_pictures_are_the_same_whatever_they_come_as(
    open_client: Opened, tmp_path: Path
) -> None:
    data = encoded(PICTURES[0])
    path = tmp_path / "a.png"
    path.write_bytes(data)
    np.save(tmp_path / "b.npy", PICTURES[:1])
    forms: list[Any] = [path, str(path), data, Image.open(path), PICTURES[0], [PICTURES[0]]]
    forms += [[PICTURES[:1, None]], tmp_path / "b.npy", (tmp_path / "b.npy").read_bytes()]
    forms += [Image.fromarray(PICTURES[0]), [PICTURES[0][..., None]], tmp_path / "*.png"]
    async with open_client() as client:
        means = [(await client.encode(form)).mean for form in forms[:-1]]
        for mean in means:
            assert mean.tobytes() == means[0].tobytes()
        mixed = await client.encode([tmp_path, PICTURES[1], Image.fromarray(PICTURES[2])])
        assert mixed.names == (str(path), f"{tmp_path / 'b.npy'}[0]", "[1]", "[2]")
        assert mixed.mean[0].tobytes() == mixed.mean[1].tobytes() == means[0].tobytes()
        with pytest.raises(CallError, match=r"There is no file '.*\*\.png'"):
            await client.encode(forms[-1])


async def test_the_ends_of_a_path_are_pictures_or_latents(open_client: Opened) -> None:
    async with open_client() as client:
        path = await client.interpolate(list(PICTURES[:2]), steps=5)
        assert path.images.shape == (5, 1, 8, 8)
        assert len(path) == 5
        of_array = await client.interpolate(PICTURES[:2], steps=5)
        assert of_array.images.tobytes() == path.images.tobytes()
        straight = await client.interpolate(latents=path.latents[[0, 4]], steps=5)
        assert straight.images.tobytes() == path.images.tobytes()
        assert straight.preprocessing is None
        for ends in ({}, {"images": PICTURES[:2], "latents": LATENTS[:2]}):
            with pytest.raises(CallError, match="one of both"):
                await client.interpolate(**ends)
        with pytest.raises(CallError, match="takes two pictures, or one array of two"):
            await client.interpolate([encoded(PICTURES[0]), npy(PICTURES[1])])
        with pytest.raises(Refused, match="VAE_MAX_ITEMS"):
            await client.interpolate(PICTURES[:2], steps=5000)


async def test_what_the_service_refuses_is_an_exception_with_its_words(
    open_client: Opened, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(encoded(PICTURES[0])[:60])
    async with open_client(batch_size=2) as client:
        with pytest.raises(Refused) as raised:
            await client.sample(1, temprature=2)  # type: ignore[call-arg]
        error = raised.value
        assert (error.status, error.type) == (422, "invalid-parameter")
        assert (error.parameter, error.suggestion) == ("temprature", "temperature")
        assert error.allowed is not None
        assert "temperature" in error.allowed
        assert error.request_id
        with pytest.raises(Refused, match=r"bad\.png: ") as raised:
            await client.elbo([*PICTURES[:3], tmp_path / "bad.png"])
        assert list(raised.value.items) == [3]
        assert raised.value.type == "corrupt-image"
        with pytest.raises(Refused, match="VAE_MAX_NUM_SAMPLES") as raised:
            await client.elbo(PICTURES, num_samples=20000)
        assert raised.value.limit == 10000
        with pytest.raises(Refused, match="first_item"):
            await client.sample(2, first_item="one")  # type: ignore[arg-type]
        with pytest.raises(Refused, match="at least 1"):
            await client.sample(0)
        with pytest.raises(Refused, match="no model 'mnits'") as raised:
            await client.model("mnits")
        assert raised.value.suggestion == "mnist"


async def test_one_item_that_is_too_large_is_refused_with_what_fits(open_client: Opened) -> None:
    async with open_client(settings={"max_request_cost": 0.001}) as client:
        with pytest.raises(Refused, match=r"1 image x 5 samples cost .* VAE_MAX_REQUEST_COST"):
            await client.elbo(PICTURES, num_samples=5)


async def test_an_array_whose_axes_are_unsure_goes_whole(open_client: Opened) -> None:
    async with open_client(settings={"max_items": 3}, batch_size=2) as client:
        with pytest.raises(Refused) as raised:
            await client.encode(np.zeros((6, 20, 30), np.float32))
        assert raised.value.status == 413
        four = await client.encode(np.zeros((6, 1, 20, 30), np.float32))
        assert len(four) == 6


async def test_models_describe_themselves(open_client: Opened) -> None:
    async with open_client() as client:
        assert await client.ready()
        listed = await client.models()
        default = await client.model()
        assert [(one.name, one.version) for one in listed if one.default] == [("mnist", 2)]
        assert (default.name, default.version) == ("mnist", 2)
        assert default.image_shape == (1, 8, 8)
        assert "encode" in default.operations
        assert (await client.model("mnist", 1)).version == 1
        own = AsyncVAEClient(model="mnist", version=1, http=client._http)
        assert (await own.model()).version == 1
        assert (await own.encode(PICTURES)).version == 1
        labelled = await client.model("mnist-labelled")
        assert labelled.labels == ("0", "1", "2")
    async with open_client(
        settings={"default_model": None, "load_models": ("colour", "oracle")}
    ) as client:
        with pytest.raises(CallError, match=r"There is no default model\. Name one"):
            await client.model()


async def test_held_out_pictures_come_with_their_labels_and_as_a_map(open_client: Opened) -> None:
    async with open_client() as client:
        examples = await client.examples()
        found = await client.latent_map("mnist", 2)
        assert (examples.model, examples.version, len(examples)) == ("mnist", 2, 8)
        assert {(picture.mode, picture.size) for picture in examples.pictures} == {("L", (8, 8))}
        assert examples.labels[:4] == (None, "a", "b", "c")
        assert examples.source == found.source == SOURCE
        assert found.axes.tolist() == np.eye(2, 4).tolist()
        assert found.points.tolist() == [[0.0, 1.5], [-2.0, 0.5]]
        assert found.labels == ("b", None)
        assert found.explained.tolist() == [0.5, 0.25]
        assert len(await client.decode(found.mean + found.points @ found.axes)) == 2
        with pytest.raises(Refused, match="examples"):
            await client.examples("mnist", 1)


def test_a_service_in_another_process_answers_the_client_that_waits(
    served: Served, tmp_path: Path
) -> None:
    with VAEClient(served.url, batch_size=4, model="mnist-labelled") as client:
        assert client.ready()
        assert client.model().name == "mnist-labelled"
        assert len(client.examples("mnist")) == len(client.latent_map("mnist").mean) * 2
        assert len(client.models()) == 5
        drawn = client.sample(6, seed=1, label=2)
        assert drawn.label_used == ("2",) * 6
        assert drawn.images.shape == (6, 1, 8, 8)
        assert client.decode(drawn.latents, label=2).images.tobytes() == drawn.images.tobytes()
        for i, picture in enumerate(drawn.to_pil()):
            picture.save(tmp_path / f"{i}.png")
        scores = client.elbo(tmp_path, seed=1)
        assert scores.elbo_nats.shape == (6,)
        assert client.log_likelihood(tmp_path, seed=1, num_samples=20).estimate_nats.shape == (6,)
        assert client.reconstruct(tmp_path, dtype="uint8").images.dtype == np.uint8
        assert client.encode(tmp_path).std is not None
        assert client.interpolate([tmp_path / "0.png", tmp_path / "1.png"], label=2).steps == 8
        odd = client.anomaly(tmp_path, seed=1, alpha=0.05)
        assert odd.alpha == 0.05
        assert ((odd.p_value <= 0.05) == odd.is_anomalous).all()
        assert odd.map is None
        assert np.isnan([odd.likelihood_regret, odd.layers_ratio]).all()
        found = client.classify(tmp_path)
        assert found.labels == ("0", "1", "2")
        assert found.probabilities.sum(1) == pytest.approx(1)
