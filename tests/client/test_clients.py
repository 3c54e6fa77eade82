"""Both clients: the same methods, documented, without torch; faults before anything is sent."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import httpx
import pytest

import vae_client
from app.operations.parameters import Parameters
from app.operations.table import OPERATIONS
from vae_client import AsyncVAEClient, CallError, VAEClient, operations, parameters, results

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
KINDS = {
    one.name: one for one in vars(operations).values() if isinstance(one, operations.Operation)
}
METHODS = [
    *(name.replace("-", "_") for name in OPERATIONS),
    *("stream_log_likelihood", "models", "model", "examples", "latent_map", "ready", "close"),
]
RENDERED = {"format", "encoding", "columns"}
"""Parameters that choose how an answer is written, which a client has no choice of."""


def public(kind: type) -> dict[str, object]:
    return {name: one for name, one in vars(kind).items() if not name.startswith("_")}


def typed_parameters(name: str) -> set[str]:
    kind = getattr(parameters, f"{name.title().replace('-', '')}Parameters")
    return set(get_type_hints(kind))


def test_both_clients_have_the_same_methods_with_the_same_signatures() -> None:
    assert set(public(VAEClient)) == set(public(AsyncVAEClient)) == set(METHODS)
    for name, method in public(VAEClient).items():
        other = getattr(AsyncVAEClient, name)
        is_stream = name.startswith("stream_")
        if not is_stream:
            assert inspect.signature(method) == inspect.signature(other)  # type: ignore[arg-type]
        parameters = [inspect.signature(one).parameters for one in (method, other)]  # type: ignore[arg-type]
        assert parameters[0] == parameters[1]
        assert inspect.iscoroutinefunction(other) != is_stream
        assert inspect.getdoc(method)
        assert inspect.getdoc(other)
    ways = [list(inspect.signature(kind).parameters) for kind in (VAEClient, AsyncVAEClient)]
    assert ways[0] == ways[1]


@pytest.mark.parametrize("name", [*vae_client.__all__, *METHODS])
def test_the_page_names_every_public_name(name: str) -> None:
    assert f"`{name}" in PAGE or f".{name}(" in PAGE


@pytest.mark.parametrize("name", vae_client.__all__)
def test_every_public_name_is_documented_where_it_is_defined(name: str) -> None:
    assert name in dir(vae_client)
    assert inspect.getdoc(getattr(vae_client, name))


def test_a_name_that_there_is_not_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Client'"):
        _ = vae_client.Client


def test_a_fresh_interpreter_imports_the_client_without_torch_or_the_service() -> None:
    script = (
        "import sys\nfrom vae_client import *\nprint(AsyncVAEClient.__name__, VAEClient.__name__,"
        " sorted({'torch', 'app', 'models', 'training', 'pandas', 'pydantic'}"
        " & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "AsyncVAEClient VAEClient []\n", done.stderr


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_and_shared_fields_are_those_of_the_service(name: str) -> None:
    declared: type[Parameters] = OPERATIONS[name].parameters
    wanted = set(declared.model_fields) - RENDERED - ({"n"} if name == "sample" else set())
    assert typed_parameters(name) == wanted
    assert KINDS[name].answer.shared == OPERATIONS[name].shared
    assert KINDS[name].method == OPERATIONS[name].method
    assert KINDS[name].splits == ("first_item" in declared.model_fields)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_has_every_field_of_the_service(name: str) -> None:
    answer = OPERATIONS[name].answer
    wanted = set(answer.model_fields) - {"results", "preprocessing_steps"}
    if "results" in answer.model_fields:
        (result,) = answer.model_fields["results"].annotation.__args__  # type: ignore[union-attr]
        wanted |= set(result.model_fields)
    own = {one.name for one in fields(KINDS[name].answer)} - {"names", "arrays"}
    assert own - {"seed", "preprocessing"} == wanted - {"seed", "preprocessing"}


def test_a_base_class_has_the_fields_of_both_scores() -> None:
    scores = [results.ElboScores, results.LogLikelihoodScores]
    common = set.intersection(*({one.name for one in fields(kind)} for kind in scores))
    assert common == {one.name for one in fields(results.Scores)} | {"elbo_nats"}


@pytest.mark.parametrize("arguments", [{"url": "localhost:8000"}, {"batch_size": 0}, {"tries": 0}])
def test_arguments_that_cannot_be_meant_are_refused_at_once(arguments: dict[str, object]) -> None:
    for kind in (VAEClient, AsyncVAEClient):
        with pytest.raises(CallError, match="Give "):
            kind(**arguments)  # type: ignore[arg-type]


def test_a_key_that_no_header_can_carry_is_refused_without_naming_it() -> None:
    with pytest.raises(CallError, match="api_key holds characters") as raised:
        VAEClient(api_key="sécret")
    assert "cret" not in str(raised.value)


def test_a_key_goes_into_every_request() -> None:
    with VAEClient("http://vae/", api_key=" key ") as client:
        assert client._http.headers["Authorization"] == "Bearer key"
        assert client._exchange.url == "http://vae"
        assert client._http.timeout == httpx.Timeout(150.0, connect=10.0)
    with VAEClient() as client:
        assert "Authorization" not in client._http.headers
