"""Documents and code agree: a document names what exists, and every public bound and field."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from models.bundle import parity, schema
from models.bundle.examples import Examples
from models.bundle.latent_map import LatentMap
from models.distributions import kl
from models.estimators import (
    annealed_chains,
    annealing,
    betting,
    bounds,
    elbo,
    exact,
    fitted_modes,
    importance,
    importance_weights,
    mode_search,
    moments,
    normal_fit,
    pareto,
    reconstruction,
    refine,
    refined_posterior,
    simulated,
    steps,
    tolerance,
    weight_sums,
)
from models.vae.likelihoods import LIKELIHOODS
from models.vae.make_network import NETWORKS
from models.vae.posteriors import POSTERIORS
from models.vae.priors import PRIORS

ROOT = Path(__file__).resolve().parent.parent
MATH = (ROOT / "docs" / "math.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "docs" / "bundle-format.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:\w+\.)+(?!py`)\w+)`", MATH)))
SCHEMAS = [schema.BundleConfig, schema.Evaluation, schema.Manifest, Examples, LatentMap]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def documents() -> list[Path]:
    """Every Markdown file of the project but the cards of bundles."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def resolve(name: str) -> object:
    """Definition behind a dotted name of math.md: `bounds.rate`, `training.objectives.ELBO`, ...

    A file's name is enough: it is unique within its package.
    """
    parts = name.split(".")
    package = parts.pop(0) if parts[0] in {"app", "training"} else "models"
    (path,) = (ROOT / package).rglob(f"{parts.pop(0)}.py")
    found: object = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for part in parts:
        fields = getattr(found, "__dataclass_fields__", {})
        found = fields[part] if part in fields else getattr(found, part)
    return found


def public_functions(module: ModuleType) -> list[str]:
    """Names of the functions that a module defines for others."""
    short = module.__name__.rpartition(".")[2]
    return [
        f"{short}.{name}"
        for name, value in vars(module).items()
        if inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
        and getattr(value, "__module__", "") == module.__name__
        and not name.startswith("_")
    ]


def fields_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """Names of a model's fields and of those of every model inside it."""
    seen.add(model)
    for name, field in model.model_fields.items():
        yield name
        for inner in models_in(field.annotation):
            if inner not in seen:
                yield from fields_of(inner, seen)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Pydantic models that a type annotation mentions."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


@pytest.mark.parametrize("name", NAMED)
def test_what_math_names_exists(name: str) -> None:
    assert resolve(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        name
        for module in (
            annealed_chains,
            annealing,
            betting,
            bounds,
            elbo,
            exact,
            fitted_modes,
            importance,
            importance_weights,
            kl,
            mode_search,
            moments,
            normal_fit,
            pareto,
            reconstruction,
            refine,
            refined_posterior,
            simulated,
            steps,
            tolerance,
            weight_sums,
        )
        for name in public_functions(module)
    ],
)
def test_math_names_every_bound_and_estimator(name: str) -> None:
    assert name in NAMED


@pytest.mark.parametrize("kind", [*LIKELIHOODS, *PRIORS, *POSTERIORS, *NETWORKS])
def test_math_and_bundle_format_name_every_kind(kind: str) -> None:
    assert f"`{kind}`" in MATH
    assert f'"kind": "{kind}"' in FORMAT


@pytest.mark.parametrize("model", SCHEMAS)
def test_bundle_format_names_every_field(model: type[BaseModel]) -> None:
    missing = [
        name for name in fields_of(model, set()) if not re.search(rf"[`\"]{name}[`\"]", FORMAT)
    ]
    assert not missing


def test_bundle_format_states_the_constants_of_the_code() -> None:
    assert f"version {schema.FORMAT_VERSION}\n" in FORMAT
    assert f"{parity.PARITY_ITEMS} inputs with their outputs" in FORMAT
    assert f"more than {parity.PARITY_TOLERANCE:.4f} x (1 + " in FORMAT


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(path: Path) -> None:
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]
