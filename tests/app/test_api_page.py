"""docs/api.md and docs/deployment.md say all that there is, and their examples run."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from app.api.metrics import Metrics
from app.api.openapi import openapi_document
from app.api.problems import HTTP_SLUGS, TABLE, Problem
from app.operations.table import OPERATIONS, Need
from app.settings import Settings
from tests.app.conftest import client_of
from tests.app.server_process import ROOT, Served

PAGES = ("api.md", "deployment.md")
TEXT = "\n".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)


def rows_with(name: str) -> list[str]:
    """The table rows whose first cells hold a name."""
    return [line for line in TEXT.splitlines() if line.startswith("|") and f"`{name}`" in line]


def test_every_setting_is_documented_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        (row,) = [r for r in rows_with(f"VAE_{name.upper()}") if r.startswith("| `VAE_")]
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert f"`{field.default:.12g}`" in row
    assert "`VAE_SETTINGS_FILE`" in TEXT


def test_every_operation_parameter_and_choice_is_documented() -> None:
    for operation in OPERATIONS.values():
        assert rows_with(operation.name)
        for name, schema in operation.parameters.model_json_schema()["properties"].items():
            rows = "\n".join(rows_with(name))
            assert operation.name in rows or "all" in rows
            choices = [schema, *schema.get("anyOf", [])]
            for choice in [value for entry in choices for value in entry.get("enum", [])]:
                assert f"`{choice}`" in rows
            assert schema["description"] in rows


def test_every_need_is_documented_with_the_operations_that_have_it() -> None:
    table = TEXT.partition("\n### Needs\n")[2].partition("\n### ")[0].splitlines()
    for need in get_args(Need):  # `map` is a parameter and a field, too
        (row,) = [row for row in table if row.startswith(f"| `{need}` |")]
        for operation in OPERATIONS.values():
            of_options = set(operation.option_needs.values()) - {"labels"}
            assert (operation.name in row) or need not in {*operation.needs, *of_options}


def test_every_field_of_every_answer_is_documented() -> None:
    for operation in OPERATIONS.values():
        fields = set(operation.answer.model_fields)
        if operation.per_item:
            (result,) = operation.answer.model_fields["results"].annotation.__args__  # type: ignore[union-attr]
            fields |= set(result.model_fields)
        missing = [name for name in sorted(fields) if f"`{name}" not in TEXT]
        assert not missing, operation.name


def test_every_path_is_documented() -> None:
    paths = set(openapi_document()["paths"]) | {"/", "/docs", "/openapi.json"}
    for path in paths:
        prefix, _, last = path.rpartition("/")
        if last in OPERATIONS:
            assert f"`{prefix}/OP`" in TEXT
        else:
            assert f"{path}`" in TEXT, path


def test_every_error_type_is_documented_with_its_status() -> None:
    for status, slug in [*TABLE.values(), *HTTP_SLUGS.items()]:
        (row,) = rows_with(slug)
        assert row.startswith(f"| {status} |")


def test_every_member_of_a_problem_is_documented() -> None:
    for name in Problem.model_fields:
        assert rows_with(name), name


def test_every_setting_is_described_in_the_same_words() -> None:
    for name, field in Settings.model_fields.items():
        (row,) = [r for r in rows_with(f"VAE_{name.upper()}") if r.startswith("| `VAE_")]
        assert str(field.description) in row.replace("`<model>/<version>/`", "<model>/<version>/")


def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    for metric in Metrics().registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        (row,) = [row for row in rows_with(name) if metric.type in row]
        collector = Metrics().registry._names_to_collectors[name]
        assert all(label in row for label in collector._labelnames)


def test_the_shell_examples_run(tmp_path: Path, served: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) >= 12
    for line in lines:
        command = shlex.split(line.replace("http://localhost:8000", served.url))
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", *command[1:]],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    for name in set(re.findall(r"-o (\S+)", "\n".join(lines))):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.anyio
async def test_the_printed_score_is_the_answer_of_the_shipped_model() -> None:
    commands, printed = re.findall(r"```(?:sh|json)\n(.*?)```", TEXT, re.DOTALL)[:2]
    draw, score = (
        url.removeprefix("http://localhost:8000") for url in re.findall(r'"(http:[^"]+)"', commands)
    )
    async with client_of(Settings()) as client:
        digit = (await client.get(draw)).content
        files = {"images": ("digit.png", digit)}
        answer = (await client.post(score, files=files)).json()
        sharp = (await client.post(f"{score}&binarize=threshold", files=files)).json()
    expected = json.loads(printed)
    (wanted,), (result,) = expected.pop("results"), answer.pop("results")
    assert {name: answer[name] for name in expected} == expected
    assert {name: result[name] for name in wanted} == pytest.approx(wanted, rel=2e-3)
    assert f"the ELBO is {sharp['results'][0]['elbo_nats']:.1f} nats" in TEXT
