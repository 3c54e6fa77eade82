"""Scores of the oracle, through the service; and what a new field of a score costs."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from app.cli.outputs import Results, write
from app.cli.target import Target
from app.compute.inputs import Inputs
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.operations import answers
from app.operations.answers import score_answer
from app.operations.parameters import Rendering
from app.operations.table import OPERATIONS
from app.serving.served_model import serve_bundle
from app.wire.rendering import render
from models.bundle.loading import load_bundle
from models.estimators import elbo as estimator
from models.estimators.steps import run_steps
from models.scores.columns import Array, Column, Number
from models.scores.elbo_score import ElboScore
from tests import oracle
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, levels, npy, read_npz
from tests.app.repository import SIDE


@pytest.mark.anyio
async def test_scores_of_the_oracle_agree_with_the_exact_ones_within_their_errors(
    open_client: ClientFactory,
) -> None:
    exact = oracle.instance("medium")
    x = levels(exact.draw(40))
    body = {"content": npy(x.numpy()), "headers": NPY}
    elbo, kl = exact.elbo(x).numpy(), exact.kl(x).numpy()
    log_px = exact.log_px(x).numpy()
    async with open_client() as client:
        response = await client.post("/v1/models/oracle/elbo?num_samples=2000&seed=1", **body)
        for result, want, want_kl in zip(response.json()["results"], elbo, kl, strict=True):
            assert abs(result["elbo_nats"] - want) < 5 * result["standard_error_nats"] + 1e-4
            assert result["kl_nats"] == pytest.approx(want_kl, rel=1e-5)
        for estimator in ("iwae", "prior"):
            query = f"num_samples=5000&seed=1&estimator={estimator}"
            response = await client.post(f"/v1/models/oracle/log-likelihood?{query}", **body)
            results = response.json()["results"]
            assert len(results) == 40
            for result, want in zip(results, log_px, strict=True):
                if result["weights_look_regular"]:
                    error = abs(result["estimate_nats"] - want)
                    assert error < 5 * result["standard_error_nats"] + 1e-4
            if estimator == "iwae":
                assert all(result["weights_look_regular"] for result in results)
                gaps = [result["gap_lower_bound_nats"] for result in results]
                assert np.mean(gaps) == pytest.approx(exact.gap(), rel=0.1)


@dataclass(frozen=True, kw_only=True)
class WiderScore(ElboScore[Array]):
    """A score with more fields.

    Nothing but this class knows them.
    """

    loss_nats: Annotated[Array, Column(Number, "Minus the ELBO, nats.")]
    remark: Annotated[tuple[str | None, ...], Column(str | None, "Some words.")]


def test_a_new_field_of_a_score_is_written_once_and_is_in_every_format(
    monkeypatch: pytest.MonkeyPatch, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wider(**fields: Any) -> Any:
        loss = -fields["elbo_nats"]
        return WiderScore(**fields, loss_nats=loss, remark=(None,) * len(loss))

    monkeypatch.setattr(estimator, "ElboEstimate", wider)
    wider_answer = score_answer("Wider", WiderScore)
    monkeypatch.setattr(answers, "WiderAnswer", wider_answer, raising=False)
    operation = replace(OPERATIONS["elbo"], answer_name="WiderAnswer")
    request = ComputeRequest(
        operation,
        serve_bundle(load_bundle(repository / "mnist" / "2"), "cpu"),
        operation.parameters(num_samples=3),
        seed=1,
        inputs=Inputs(x=np.ones((2, 1, SIDE, SIDE), np.float32)),
    )
    answer = run_steps(compute(request))
    envelope = {"model": "mnist", "version": 2, "preprocessing": [[], []]}
    forms = {
        form: render(form, answer, operation, Rendering(), envelope) for form in ("json", "npz")
    }
    operation.answer.model_validate_json(forms["json"])
    schema = operation.answer.model_json_schema()["$defs"]["WiderResult"]
    assert schema["properties"]["loss_nats"]["description"] == "Minus the ELBO, nats."
    assert {"loss_nats", "remark"} <= set(schema["required"])
    rows = json.loads(forms["json"])["results"]
    assert [row["loss_nats"] for row in rows] == [-row["elbo_nats"] for row in rows]
    assert [row["remark"] for row in rows] == [None, None]
    arrays = read_npz(forms["npz"])
    np.testing.assert_array_equal(arrays["loss_nats"], -arrays["elbo_nats"])
    assert arrays["remark"].tolist() == ["", ""]
    write(Target(None, "csv"), operation, Results(arrays, ["a", "b"]), {})
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert float(row["loss_nats"]) == rows[0]["loss_nats"]
    assert row["remark"] == ""
