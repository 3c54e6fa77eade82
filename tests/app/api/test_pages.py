"""Pages for people: the start page, /docs, and what a problem's type means."""

import re

import pytest

from app.api.openapi import openapi_document
from app.api.pages import PLAYGROUND
from app.api.problems import HTTP_SLUGS, TABLE
from app.api.routing import MODEL_PATHS
from app.operations.table import OPERATIONS
from tests.app.conftest import ClientFactory

pytestmark = pytest.mark.anyio

MOST_BYTES = 80_000
"""Of the playground over the wire, as browsers ask for it."""


async def test_docs_and_the_start_page_load_nothing_from_elsewhere(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        for path in ("/", "/docs"):
            page = (await client.get(path)).text
            links = re.findall(r'(?:src|href)="([^"]+)"', page)
            assert links
            assert not [link for link in links if "//" in link]
            for link in links:
                assert (await client.get(f"/{link}")).status_code == 200, link
            assert "https://" not in page


async def test_the_page_of_the_api_runs_no_inline_script(open_client: ClientFactory) -> None:
    async with open_client() as client:
        page = await client.get("/docs")
        script = (await client.get("/assets/docs-page/docs.js")).text
        tags = [tag["name"] for tag in (await client.get("/openapi.json")).json()["tags"]]
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert tags == [*OPERATIONS, "models", "probes"]
    # The page tells the three paths of an operation apart by the ends of their ids.
    scopes = "|".join(f"by_{scope}" for scope in list(MODEL_PATHS)[1:])
    assert f"/_({scopes})$/" in script


async def test_pages_can_be_turned_off(open_client: ClientFactory) -> None:
    async with open_client(docs=False) as client:
        for path in ("/", "/docs", "/openapi.json", "/assets/main.js"):
            assert (await client.get(path)).status_code == 404


async def test_the_type_of_every_problem_says_what_it_means(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for slug in {*(slug for _, slug in TABLE.values()), *HTTP_SLUGS.values()}:
            page = await client.get(f"/problems/{slug}")
            title, _, meaning = page.text.partition(": ")
            assert page.status_code == 200, slug
            assert title == slug.replace("-", " ").capitalize()
            assert meaning.endswith(".\n")
        unknown = await client.get("/problems/nonsense")
    assert unknown.status_code == 404


async def test_a_path_prefix_is_in_problem_types_and_the_document(
    open_client: ClientFactory,
) -> None:
    async with open_client(root_path="/vae/") as client:
        document = (await client.get("/openapi.json")).json()
        problems = [(await client.get(path)).json() for path in ("/nothing", "/v1/sample?n=0")]
    assert document["servers"][0]["url"] == "/vae"
    assert [one["type"] for one in problems] == [
        "/vae/problems/not-found",
        "/vae/problems/invalid-parameter",
    ]


async def test_the_playground_is_small_and_asked_for_anew(open_client: ClientFactory) -> None:
    files = [file for file in PLAYGROUND.rglob("*") if file.is_file()]
    paths = ["/", *(f"/assets/{file.relative_to(PLAYGROUND).as_posix()}" for file in files)]
    size = 0
    async with open_client() as client:
        for path in paths:
            async with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.status_code == 200, path
                assert answer.headers["cache-control"] == "no-cache"
                size += len(b"".join([part async for part in answer.aiter_raw()]))
    assert size <= MOST_BYTES


def test_the_playground_imports_and_calls_only_what_there_is() -> None:
    scripts = {file: file.read_text(encoding="utf-8") for file in PLAYGROUND.rglob("*.js")}
    for file, script in scripts.items():
        for imported in re.findall(r'from "([^"]+)"', script):
            assert (file.parent / imported).resolve() in scripts, (file, imported)
    every = "".join(scripts.values())
    called = set(re.findall(r'operate\((?:app\.)?model, (?:byAnomaly \? )?"([\w-]+)"', every))
    called |= set(re.findall(r'call\("([\w-]+)"', every))
    assert called == set(OPERATIONS)
    assert "/v1/models" in openapi_document()["paths"]
    ids = set(re.findall(r'\$\("(\w+)"\)', every))
    page = (PLAYGROUND / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in ids)
