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
        for path in ("/", "/docs", "/openapi.json", "/assets/page.js"):
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


def test_the_start_page_calls_only_what_there_is() -> None:
    script = (PLAYGROUND / "page.js").read_text(encoding="utf-8")
    called = set(re.findall(r"\$\{modelPath\(\)\}/([\w-]+)", script))
    assert called == {"sample", "reconstruct", "elbo", "classify"}
    assert called <= set(OPERATIONS)
    assert "v1/models" in script
    assert "/v1/models" in openapi_document()["paths"]
    ids = set(re.findall(r'\$\("(\w+)"\)', script))
    page = (PLAYGROUND / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in ids)
