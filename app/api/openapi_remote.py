"""A diffusion pipeline's remote VAE in the OpenAPI document: two paths for each model."""

from app.api.openapi_components import (
    Described,
    operation_id,
    path_parameters,
    problems,
    query_parameters,
    slugs_by_status,
)
from app.api.routing import MODEL_PATHS
from app.operations.remote import REMOTE_OPERATIONS
from app.wire.media_types import MEDIA_TYPES
from app.wire.raw_tensor import TENSOR_TYPE

_SUMMARIES = {
    "decode": "Decode a diffusion pipeline's latents, as diffusers' remote_decode asks.",
    "encode": "Encode pictures for a diffusion pipeline, as diffusers' remote_encode asks.",
}
_FILE: Described = {"schema": {"type": "string", "format": "binary"}}
_PICTURES = (MEDIA_TYPES["png"], "image/jpeg")
_HEADERS = {
    "shape": "Sides of the tensor, a JSON list; absent from a picture.",
    "dtype": "Type of the tensor; absent from a picture.",
}


def remote_vae_paths() -> Described:
    """Decoding and encoding for a pipeline, by a model and by one version of it."""
    paths: Described = {}
    for scope in ("model", "version"):
        prefix = MODEL_PATHS[scope]
        for name, operation in REMOTE_OPERATIONS.items():
            takes = (TENSOR_TYPE,) if name == "decode" else (TENSOR_TYPE, *_PICTURES)
            gives = (*_PICTURES[::-1], TENSOR_TYPE) if name == "decode" else (TENSOR_TYPE,)
            paths[f"{prefix}/{operation.name}"] = {
                "post": {
                    "operationId": operation_id(operation, scope).replace("/", "_"),
                    "summary": _SUMMARIES[name],
                    "tags": [name],
                    "parameters": [
                        *path_parameters(prefix),
                        *query_parameters(operation).values(),
                    ],
                    "requestBody": {"required": True, "content": dict.fromkeys(takes, _FILE)},
                    "responses": {
                        "200": {
                            "description": "The picture or the tensor.",
                            "headers": {
                                name: {"description": text, "schema": {"type": "string"}}
                                for name, text in _HEADERS.items()
                            },
                            "content": dict.fromkeys(gives, _FILE),
                        },
                        **problems(*slugs_by_status()),
                    },
                }
            }
    return paths
