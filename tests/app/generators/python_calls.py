"""Calls of the Python client that openapi-python-client generates, each with a typed answer.

Runs in the generator's own environment: python_calls.py URL.
"""

import base64
import io
import sys

from vae_serve_client import Client
from vae_serve_client.api.decode import decode
from vae_serve_client.api.elbo import elbo
from vae_serve_client.api.encode import encode
from vae_serve_client.api.interpolate import interpolate
from vae_serve_client.api.log_likelihood import log_likelihood_by_model
from vae_serve_client.api.models import list_models
from vae_serve_client.api.probes import live
from vae_serve_client.api.sample import sample
from vae_serve_client.models import (
    DecodeAnswer,
    ElboAnswer,
    EncodeAnswer,
    ImageFiles,
    ImagesBody,
    InterpolateAnswer,
    LatentsBody,
    LogLikelihoodAnswer,
    ModelList,
    PathEndFiles,
    Problem,
    SampleAnswer,
    SampleFormat,
    Status,
)
from vae_serve_client.types import File

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True, timeout=60)

status = live.sync(client=client)
assert isinstance(status, Status)

listed = list_models.sync(client=client)
assert isinstance(listed, ModelList)
assert "mnist" in {model.name for model in listed.models}

drawn = sample.sync(client=client, n=2, seed=1, format_=SampleFormat.JSON)
assert isinstance(drawn, SampleAnswer)
texts = [str(image) for image in drawn.images]
pictures = [base64.b64decode(text) for text in texts]


def files() -> list[File]:
    """The drawn pictures as files, which a call reads to their end."""
    return [File(io.BytesIO(png), f"{i}.png", "image/png") for i, png in enumerate(pictures)]


encoded = encode.sync(client=client, body=ImagesBody(images=texts))
assert isinstance(encoded, EncodeAnswer)
assert len(encoded.mean) == 2

decoded = decode.sync(client=client, body=LatentsBody(latents=drawn.latents))
assert isinstance(decoded, DecodeAnswer)
assert len(decoded.images) == 2

scored = elbo.sync(client=client, body=ImageFiles(images=files()), seed=1, num_samples=10)
assert isinstance(scored, ElboAnswer)
assert [result.num_samples for result in scored.results] == [10, 10]

form = ImageFiles(images=files())
form["num_samples"] = 7  # while the client sends the default in the query
scored = elbo.sync(client=client, body=form, seed=1)
assert isinstance(scored, ElboAnswer), scored
assert [result.num_samples for result in scored.results] == [7, 7]

between = interpolate.sync(client=client, body=PathEndFiles(images=files()), steps=3)
assert isinstance(between, InterpolateAnswer)
assert len(between.images) == 3

likely = log_likelihood_by_model.sync("mnist", client=client, body=files()[0], num_samples=20)
assert isinstance(likely, LogLikelihoodAnswer)
assert len(likely.results) == 1

refused = encode.sync(client=client, body=ImagesBody(images=["no picture"]))
assert isinstance(refused, Problem)
assert refused.status in (400, 422)
print("The calls are answered as typed.")
