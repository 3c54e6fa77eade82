"""Plans: what a query asks for is checked once, and kept no longer than is useful."""

import pytest

from app.api import plan
from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded

pytestmark = pytest.mark.anyio


async def test_plans_are_kept_up_to_a_number_and_a_length(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_PLANS", 3)
    async with open_client() as client:
        entry = client.app.state.entry  # type: ignore[attr-defined]
        operation = entry.find_operation({"method": "POST", "path": "/v1/encode"})
        png = encoded(binary()[0])
        kept = []
        for query in ["seed=1", "seed=1", "seed=2", "seed=3", "seed=4", "label=" + "a" * 600]:
            url = f"/v1/encode?num_samples=1&{query}"
            await client.post(url, content=png, headers={"Content-Type": "image/png"})
            kept.append(len(operation.plans._kept))
    assert kept == [1, 1, 2, 3, 1, 1]
