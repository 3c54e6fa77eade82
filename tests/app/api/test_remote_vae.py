"""A diffusion pipeline's remote VAE: diffusers' own functions, and every answer and refusal."""

import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from models.bundle.loading import load_bundle
from tests.app.conftest import ClientFactory
from tests.app.server_process import Served, serving
from tests.diffusers_models import make_autoencoder
from training.export.import_diffusers import import_diffusers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """The models of diffusers behind the bundles `sd` and `flux`."""
    return {name: make_autoencoder(name) for name in ("sd", "flux")}


@pytest.fixture(scope="module")
def repository(
    repository: Path, models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two of the tests' own models, and two that are imported."""
    path = tmp_path_factory.mktemp("with-diffusers")
    for name in ("mnist", "mnist-labelled"):
        (path / name).symlink_to(repository / name)
    for name, model in models.items():
        folder = tmp_path_factory.mktemp("diffusers") / name
        model.save_pretrained(folder)
        import_diffusers(folder, repository=path)
    return path


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(repository, tmp_path_factory.mktemp("server") / "log") as served:
        yield served


@pytest.fixture(scope="module")
def remote() -> Any:
    """diffusers' module, whose deprecation of `do_scaling` is no fault of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "diffusers.utils.remote_utils", reason="diffusers is not installed"
        )


def latents_of(model: Any, count: int = 1) -> torch.Tensor:
    """Latents as a pipeline has them: scaled."""
    config, generator = model.config, torch.Generator().manual_seed(3)
    factor = 2 ** (len(config.block_out_channels) - 1)
    size = config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = count, config.latent_channels, height // factor, width // factor
    return torch.randn(shape, generator=generator)


def decode(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """The picture in -1..1 of scaled latents, by diffusers."""
    config = model.config
    plain = latents / config.scaling_factor + (config.shift_factor or 0)
    with torch.no_grad():
        picture: torch.Tensor = model.decode(plain).sample
    return picture.clamp(-1, 1)


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Latents in patches of 2 x 2, as `FluxPipeline._pack_latents` makes them."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels).contiguous()


def factors(model: Any) -> dict[str, float]:
    return {
        "scaling_factor": model.config.scaling_factor,
        **({"shift_factor": model.config.shift_factor} if model.config.shift_factor else {}),
    }


# diffusers' own functions against a server -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd", "flux"])
def test_remote_decode_of_diffusers_gives_what_its_model_does(
    name: str, server: Served, models: dict[str, Any], remote: Any
) -> None:
    model, endpoint = models[name], f"{server.url}/v1/models/{name}/remote/decode"
    latents = latents_of(model)
    wanted = decode(model, latents)
    as_bytes = ((wanted / 2 + 0.5) * 255 + 0.5).floor().byte()
    tensor = remote.remote_decode(
        endpoint, latents, output_type="pt", return_type="pt", **factors(model)
    )
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor, wanted, atol=1e-5)
    half = remote.remote_decode(
        endpoint, latents.bfloat16(), output_type="pt", return_type="pt", **factors(model)
    )
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), wanted, atol=0.1)
    picture = remote.remote_decode(
        endpoint, latents, output_type="pil", image_format="png", **factors(model)
    )
    assert picture.format == "png"
    assert np.array_equal(np.asarray(picture), as_bytes[0].permute(1, 2, 0).numpy())
    jpeg = remote.remote_decode(endpoint, latents, **factors(model))
    assert jpeg.format == "jpeg"
    assert jpeg.size == picture.size
    two = latents_of(model, 2)
    pictures = remote.remote_decode(
        endpoint, two, output_type="pt", partial_postprocess=True, **factors(model)
    )
    assert [each.size for each in pictures] == [picture.size] * 2


@pytest.mark.slow
def test_diffusers_leaves_the_scaling_to_the_server_and_reads_its_problems(
    server: Served, models: dict[str, Any], remote: Any
) -> None:
    model, endpoint = models["flux"], f"{server.url}/v1/models/flux/remote/decode"
    latents = latents_of(model)
    with pytest.warns(FutureWarning, match="do_scaling"):
        tensor = remote.remote_decode(endpoint, latents, output_type="pt", return_type="pt")
    assert torch.allclose(tensor, decode(model, latents), atol=1e-5)
    with pytest.raises(RuntimeError, match="shape-mismatch"):
        remote.remote_decode(endpoint, latents[..., :1], scaling_factor=1.0)
    processor = remote.VaeImageProcessor(vae_scale_factor=4)
    made = remote.remote_decode(endpoint, latents, processor, output_type="pt", **factors(model))
    assert made.size == (16, 8)
    (made,) = remote.remote_decode(endpoint, latents, processor, **factors(model))
    assert made.size == (16, 8)
    made = remote.remote_decode(endpoint, packed(latents), height=8, width=16, **factors(model))
    assert made.size == (16, 8)


@pytest.mark.slow
def test_remote_encode_of_diffusers_gives_the_means_of_its_model(
    server: Served, models: dict[str, Any], remote: Any
) -> None:
    model, endpoint = models["flux"], f"{server.url}/v1/models/flux/remote/encode"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    image = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1).contiguous()
    with torch.no_grad():
        plain = model.encode(image).latent_dist.mean
    wanted = (plain - model.config.shift_factor) * model.config.scaling_factor
    found = remote.remote_encode(endpoint, image, **factors(model))
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(remote.remote_encode(endpoint, image), plain, atol=1e-5)
    of_file = remote.remote_encode(endpoint, Image.fromarray(pixels), **factors(model))
    assert torch.allclose(of_file, wanted, atol=1e-5)


@pytest.mark.slow
def test_the_models_of_this_project_answer_too(
    server: Served, repository: Path, remote: Any
) -> None:
    endpoint = f"{server.url}/v1/models/mnist/versions/2/remote/decode"
    z = torch.tensor([[0.5, -1.0, 0.0, 2.0]])
    wanted = load_bundle(repository / "mnist" / "2").vae.likelihood(z).mean
    tensor = remote.remote_decode(endpoint, z, do_scaling=False, output_type="pt", return_type="pt")
    assert torch.allclose(tensor, 2 * wanted - 1, atol=1e-5)
    picture = remote.remote_decode(
        endpoint, z, do_scaling=False, output_type="pt", partial_postprocess=True
    )
    assert (picture.mode, picture.size) == ("L", (8, 8))


# every answer and refusal -----------------------------------------------------------------------


def query(latents: torch.Tensor | np.ndarray, **more: Any) -> dict[str, Any]:
    dtype = str(latents.dtype).removeprefix("torch.")
    asked = {"shape": list(latents.shape), "dtype": dtype, **more}
    return {"params": {name: value for name, value in asked.items() if value is not None}}


def content(tensor: torch.Tensor) -> bytes:
    raw = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    return raw.contiguous().numpy().tobytes()


async def post(client: httpx.AsyncClient, path: str, tensor: torch.Tensor, **more: Any) -> Any:
    headers = more.pop("headers", {})
    return await client.post(
        f"/v1/models/{path}",
        content=content(tensor),
        headers={"Content-Type": "tensor/binary", **headers},
        **query(tensor, **more),
    )


def tensor_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "tensor/binary"
    shape, dtype = json.loads(answer.headers["shape"]), answer.headers["dtype"]
    if dtype == "bfloat16":
        raw = torch.frombuffer(bytearray(answer.content), dtype=torch.bfloat16)
        return raw.reshape(shape).float().numpy()
    return np.frombuffer(answer.content, dtype).reshape(shape)


async def test_every_form_of_the_answer(open_client: ClientFactory, models: dict[str, Any]) -> None:
    model, path = models["sd"], "sd/remote/decode"
    latents = latents_of(model)
    wanted = decode(model, latents).numpy()
    async with open_client() as client:
        by_bundle = await post(client, path, latents, do_scaling=True, output_type="pt")
        assert np.allclose(tensor_of(by_bundle), wanted, atol=1e-5)
        assert by_bundle.headers["x-model-name"] == "sd"
        assert by_bundle.headers["x-request-id"]
        for dtype, error in ((torch.float16, 0.02), (torch.bfloat16, 0.1)):
            sent = latents.to(dtype)
            asked = {"scaling_factor": model.config.scaling_factor, "output_type": "pt"}
            found = tensor_of(await post(client, path, sent, **asked))
            assert np.allclose(found, wanted, atol=error)
        unit = await post(
            client, path, latents, do_scaling=True, headers={"Accept": "tensor/binary"}
        )
        assert np.allclose(tensor_of(unit) * 2 - 1, wanted, atol=1e-5)
        whole = await post(
            client, path, latents, do_scaling=True, output_type="pt", partial_postprocess=True
        )
        assert tensor_of(whole).shape == (1, 8, 8, 3)
        for name, kind in (("png", "image/png"), ("jpg", "image/jpeg")):
            picture = await post(client, path, latents, do_scaling=True, image_format=name)
            assert picture.headers["content-type"] == kind
            assert Image.open(io.BytesIO(picture.content)).size == (8, 8)
        shifted = await post(client, path, latents - 0.25, shift_factor=0.25, output_type="pt")
        plain = await post(client, path, latents, output_type="pt")
        assert np.allclose(tensor_of(shifted), tensor_of(plain), atol=1e-5)
        metrics = (await client.get("/metrics")).text
        assert 'vae_items_total{model="sd",operation="decode"}' in metrics


async def test_packed_latents_and_grey_models(
    open_client: ClientFactory, models: dict[str, Any]
) -> None:
    latents = latents_of(models["flux"])
    async with open_client() as client:
        whole = tensor_of(await post(client, "flux/remote/decode", latents, output_type="pt"))
        size = {"height": 8, "width": 16, "output_type": "pt"}
        assert np.array_equal(
            tensor_of(await post(client, "flux/remote/decode", packed(latents), **size)), whole
        )
        refused = await post(client, "flux/remote/decode", packed(latents), height=16, width=16)
        assert "height=8&width=16" in refused.json()["detail"]
        refused = await post(client, "flux/remote/decode", packed(latents)[..., :8], **size)
        assert "not its packed ones" in refused.json()["detail"]
        grey = await post(
            client,
            "mnist/remote/decode",
            torch.zeros(2, 4),
            output_type="pt",
            partial_postprocess=True,
        )
        assert tensor_of(grey).shape == (2, 8, 8)


async def test_pictures_become_latents(open_client: ClientFactory, models: dict[str, Any]) -> None:
    model = models["sd"]
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4)) * 2 - 1
    with torch.no_grad():
        mean = model.encode(image).latent_dist.mean.numpy()
    async with open_client() as client:
        found = tensor_of(await post(client, "sd/remote/encode", image))
        assert np.allclose(found, mean, atol=1e-5)
        moved = await post(client, "sd/remote/encode", image, scaling_factor=0.5, shift_factor=0.25)
        assert np.allclose(tensor_of(moved), (mean - 0.25) * 0.5, atol=1e-5)
        levels = torch.full((1, 1, 8, 8), 1.0)
        white = tensor_of(await post(client, "mnist/remote/encode", levels.half()))
        file = io.BytesIO()
        Image.new("L", (8, 8), 255).save(file, "PNG")
        of_file = await client.post("/v1/models/mnist/remote/encode", content=file.getvalue())
        assert np.allclose(white, tensor_of(of_file), atol=1e-2)


async def test_an_imported_model_scores_and_samples_nothing(open_client: ClientFactory) -> None:
    picture = np.full((1, 3, 8, 8), 0.5, np.float32)
    body = io.BytesIO()
    np.save(body, picture)
    sent = {"content": body.getvalue(), "headers": {"Content-Type": "application/x-npy"}}
    async with open_client() as client:
        described = (await client.get("/v1/models/sd")).json()
        offered = {operation["name"] for operation in described["operations"]}
        assert offered == {"encode", "decode", "reconstruct", "interpolate"}
        assert described["latent_scaling"] == {"scaling_factor": 0.18215, "shift_factor": 0.0}
        encoded = (await client.post("/v1/models/sd/encode?num_samples=2&seed=1", **sent)).json()
        assert np.shape(encoded["std"]) == (1, 4, 4, 4)
        assert np.shape(encoded["samples"]) == (1, 2, 4, 4, 4)
        assert encoded["kl_nats"] is None
        for operation in ("elbo", "log-likelihood", "anomaly"):
            refused = await client.post(f"/v1/models/sd/{operation}", **sent)
            assert refused.status_code == 409
            assert "no distribution of pixels" in refused.json()["detail"]
        refused = await client.get("/v1/models/sd/sample?n=1")
        assert "a diffusion model draws them" in refused.json()["detail"]
        refused = await client.post("/v1/models/sd/encode?inference=refined", **sent)
        assert refused.status_code == 409
        back = await client.post("/v1/models/sd/reconstruct?format=npy", **sent)
        assert np.load(io.BytesIO(back.content)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"shape": None}, "invalid-parameter", "Add shape=1&shape=4&shape=4&shape=4&dtype=float32"),
        ({"shape": [1, 4, 4, 5]}, "shape-mismatch", "has 256 bytes; [1, 4, 4, 5] of float32"),
        ({"shape": [1, -4, 4, 4]}, "shape-mismatch", "of float32 are 0"),
        ({"shape": [1, 4, 8, 2]}, "shape-mismatch", "this model takes (N, 4, 4, 4)"),
        ({"dtype": "int8"}, "invalid-parameter", "float16, float32, bfloat16"),
        ({"output_type": "mp4"}, "invalid-parameter", "one of pil, pt"),
        ({"scaling_factor": 0}, "invalid-parameter", "above 0"),
        ({"scaling_factor": 1e-44}, "out-of-support", "not finite as float32"),
        ({"quality": 3}, "invalid-parameter", "has no parameter 'quality'"),
        ({"label": "seven"}, "unsupported-operation", "trained without labels"),
    ],
)
async def test_refusals_of_a_decode(
    open_client: ClientFactory, more: dict[str, Any], kind: str, words: str
) -> None:
    async with open_client() as client:
        refused = await post(client, "sd/remote/decode", torch.ones(1, 4, 4, 4), **more)
        assert refused.json()["type"] == f"/problems/{kind}", refused.text
        assert words in refused.json()["detail"]


async def test_refusals_of_items_and_models(open_client: ClientFactory) -> None:
    async with open_client(max_items=2) as client:
        several = await post(client, "sd/remote/decode", torch.zeros(2, 4, 4, 4))
        assert "Send one latent, or output_type=pt" in several.json()["detail"]
        many = await post(client, "sd/remote/decode", torch.zeros(3, 4, 4, 4))
        assert many.json()["type"] == "/problems/payload-too-large"
        outside = await post(client, "sd/remote/encode", torch.full((1, 3, 8, 8), 1.5))
        assert "numbers outside -1..1" in outside.json()["detail"]
        wide = await post(client, "sd/remote/encode", torch.zeros(1, 3, 8, 16))
        assert "this model takes (N, 3, 8, 8)" in wide.json()["detail"]
        large = await post(
            client, "sd/remote/encode", torch.ones(1, 3, 8, 8).half(), scaling_factor=1e6
        )
        assert "not finite as float16. Send dtype=float32" in large.json()["detail"]
        unlabelled = await post(client, "mnist-labelled/remote/decode", torch.zeros(1, 4))
        assert unlabelled.status_code == 422
        labelled = await post(
            client, "mnist-labelled/remote/decode", torch.zeros(1, 4), label="1", output_type="pt"
        )
        assert tensor_of(labelled).shape == (1, 1, 8, 8)
        unknown = await post(client, "sdd/remote/decode", torch.zeros(1, 4, 4, 4))
        assert unknown.json()["suggestion"] == "sd"
        path = await client.post("/v1/models/sd/remote/decod")
        assert path.json()["suggestion"] == "/v1/models/sd/remote/decode"
