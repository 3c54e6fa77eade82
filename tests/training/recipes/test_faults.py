"""Wrong entries of a recipe: the message has the entry, what is allowed, and what was meant."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from training.recipes.file import RECIPES, load_recipe

TABLES = ("objective", "vae", "vae.encoder", "image", "optimizer", "training", "dataset")
KINDS = {
    "objective": "elbo",
    "vae.encoder": "mlp",
    "vae.prior": "mixture",
    "vae.posterior": "ladder",
    "vae.likelihood": "bernoulli",
}


def refusal(*overrides: str, path: Path = RECIPES / "digits.toml") -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        load_recipe(path, overrides=overrides)
    return refused.value


@pytest.mark.parametrize(
    ("override", "entry", "meant"),
    [
        ("training.epoch=3", "training.epoch", "training.epochs"),
        ("epochs=3", "epochs", "training.epochs"),
        ("training.learning_rate=1e-3", "training.learning_rate", "optimizer.learning_rate"),
        ("image.hight=3", "image.hight", "image.height"),
        ("vae.encoder.hiden=[3]", "vae.encoder.hiden", "vae.encoder.hidden"),
        ("optimiser.learning_rate=1", "optimiser", "optimizer"),
    ],
)
def test_an_unknown_entry_is_named_with_the_one_that_was_meant(
    override: str, entry: str, meant: str
) -> None:
    error = refusal(override)
    assert str(error).startswith(f"There is no entry {entry}. Did you mean {meant}? Entries ")
    assert error.details["parameter"] == entry
    assert error.details["suggestion"] == meant
    assert meant.rpartition(".")[2] in (*error.details["allowed"], "epochs", "learning_rate")


def test_an_unknown_entry_that_is_like_no_other_is_named_with_all_of_its_table() -> None:
    message = str(refusal("zzz=1"))
    assert message.startswith("There is no entry zzz. Entries outside of tables: name, seed, start")


def test_a_misspelt_entry_is_reported_before_the_one_that_it_leaves_missing(tmp_path: Path) -> None:
    text = (RECIPES / "digits.toml").read_text().replace("epochs = 120", "epoch = 120")
    (tmp_path / "r.toml").write_text(text)
    message = str(refusal(path=tmp_path / "r.toml"))
    assert message.startswith(
        f"Recipe {tmp_path / 'r.toml'}: There is no entry training.epoch. Did"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epochs=0",
            "training.epochs = 0 is not allowed. Allowed: whole number from 1 to 1,000,000. "
            "Use --set training.epochs=32.",
        ),
        (
            "training.epochs=x",
            "training.epochs = 'x' is not allowed. Allowed: whole number from 1 to 1,000,000. "
            "Use --set training.epochs=32.",
        ),
        (
            "seed=-1",
            "seed = -1 is not allowed. Allowed: whole number from 0 to 2^63 - 1. Use --set seed=0.",
        ),
        (
            "vae.encoder=3",
            "vae.encoder = 3 is not allowed. Allowed: a table. Set an entry of it: "
            "--set vae.encoder.kind=mlp.",
        ),
        (
            "objective=iwea",
            "objective = 'iwea' is not allowed. Allowed: a table. Set an entry of it: "
            "--set objective.kind=iwae.",
        ),
        (
            "optimizer=adam",
            "optimizer = 'adam' is not allowed. Allowed: a table. Set an entry of it: "
            "--set optimizer.learning_rate=VALUE.",
        ),
        (
            "name=A B",
            "name = 'A B' is not allowed. Allowed: a-z, 0-9, - and _, at most 64 characters.",
        ),
        ("dataset.name=", "dataset.name = '' is not allowed. Allowed: text."),
        (
            "vae.encoder.hidden=[3,0]",
            "vae.encoder.hidden[1] = 0 is not allowed. Allowed: list of whole number > 0, at most "
            "16.",
        ),
        (
            "optimizer.betas=[0.9]",
            "optimizer.betas = [0.9] is not allowed. Allowed: "
            "[number from 0 to below 1; number from 0 to below 1]. "
            "Use --set optimizer.betas=[0.9, 0.999].",
        ),
        (
            "optimizer.betas=[1.0,0.999]",
            "optimizer.betas[0] = 1.0 is not allowed. Allowed: "
            "[number from 0 to below 1; number from 0 to below 1].",
        ),
        (
            "optimizer.learning_rate=inf",
            "optimizer.learning_rate = inf is not allowed. Allowed: finite number > 0. "
            "Use --set optimizer.learning_rate=0.001.",
        ),
        (
            "vae.encoder.dropout=1",
            "vae.encoder.dropout = 1 is not allowed. Allowed: number from 0.0 to below 1.0. "
            "Use --set vae.encoder.dropout=0.0.",
        ),
        (
            "image.fit=streched",
            "image.fit = 'streched' is not allowed. Did you mean 'stretch'? Allowed: stretch, "
            "crop, pad.",
        ),
        (
            "vae.prior.kind=vampp",
            "vae.prior.kind = 'vampp' is not allowed. Did you mean 'vamp'? Allowed: "
            "standard_normal, mixture, vamp, label_normal, categorical, top_down, none.",
        ),
        (
            "vae.encoder={hidden=[3]}",
            "vae.encoder has no kind. Allowed: mlp, gated_mlp, conv, autoencoder_kl. Add --set "
            "vae.encoder.kind=mlp.",
        ),
        (
            "vae={}",
            "vae.latent_shape is missing (list of whole number > 0, 1 or more, at most 3). Add it "
            'to the file, or take a base: base = "digits".',
        ),
    ],
)
def test_a_value_is_refused_with_what_is_allowed(override: str, message: str) -> None:
    assert str(refusal(override)) == message


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        # torch, the clock or a traceback would say so hours later
        ("optimizer.betas=[0.9,1]", "number from 0 to below 1]."),
        ("training.epochs=1000001", "whole number from 1 to 1,000,000."),
        ("training.kl_cycles=1000001", "whole number from 1 to 1,000,000."),
        ('objective={kind="elbo",free_bits_nats=1e39}', "number from 0 to 1,000,000,000."),
        # the run would learn nothing, and not say so
        ("optimizer.gradient_clip=1e-7", "number ≥ 1e-06."),
        ("augmentation.rotation_degrees=1e20", "number from 0 to 360."),
        ("augmentation.shift_pixels=1e20", "number from 0 to 4,096."),
        ("augmentation.scale=5", "number from 0 to 1."),
        ("augmentation.shear=1e20", "number from 0 to 100."),
    ],
)
def test_a_number_that_no_run_could_use_is_refused_by_the_recipe(
    override: str, allowed: str
) -> None:
    error = refusal(override)
    assert " is not allowed. Allowed: " in str(error)
    assert allowed in str(error)


def test_an_entry_of_another_kind_is_told_to_replace_the_whole_table() -> None:
    message = str(refusal("vae.encoder.kind=conv"))
    assert message == (
        "Recipe digits: vae.encoder of kind 'conv' has no entry hidden. Allowed: kind, channels, "
        "blocks, dropout. Replace the whole table: --set 'vae.encoder={kind=\"conv\"}'."
    )


def test_a_move_without_a_probability_is_refused() -> None:
    error = refusal("augmentation.scale=0.1")
    assert "augmentation.scale = 0.1 has no effect while augmentation.probability = 0." in str(
        error
    )
    assert error.details["suggestion"] == "--set augmentation.probability=1"


@pytest.mark.parametrize("override", ["image.levels=16", "image.values=unit", "vae.num_labels=1"])
def test_what_the_model_itself_refuses_keeps_its_words(override: str) -> None:
    message = str(refusal(override))
    assert message.startswith(("Recipe digits: ", override.partition("=")[0]))
    assert "validation error" not in message
    assert "pydantic" not in message


BAD = [
    *(f"{table}={value}" for table in TABLES for value in ("3", "", "nan", "[]", "[[1]]", "x")),
    *(f"{table}={{kind={kind}}}" for table in KINDS for kind in ('"none at all"', "3", "[]", "{}")),
    *(f"{table}={{}}" for table in KINDS),
    *(f'{table}={{kind="{kind}",foo=1}}' for table, kind in KINDS.items()),
    *('objective={kind="m2"}', 'objective={kind="elbo",beta=nan}', "objective.num_samples=[1]"),
    *("seed=-1", "seed=nan", "seed=2026-01-01", "seed=9223372036854775808", "start=../x"),
    *("training.epochs=0", "training.epochs=", "training.epochs=[1]", "training.epochs=null"),
    *("optimizer.betas=[0.9]", "optimizer.betas=[[1],[2]]", "optimizer.learning_rate=inf"),
    *("vae.latent_shape=[]", "vae.latent_shape=[[1]]", "vae.latent_groups=[[1],[2,'a']]"),
    *("vae.image_shape=[1,2]", "image.height=1.5", "image.levels=1", "image.channels=2"),
]


@pytest.mark.parametrize("override", BAD)
def test_no_words_of_pydantic_reach_a_user(override: str) -> None:
    message = str(refusal(override))
    for words in ("Input should", "pydantic", "validation error", "type=", "errors.pydantic"):
        assert words not in message
    assert len(message.splitlines()) == 1
