"""What varies in a sweep, as typed: ranges, choices, and what is wrong with others."""

import pytest

from models.errors import ConfigError
from tests.training.studies.sweep_cases import tiny
from training.studies.sweep_space import Choices, Range, parse_space


@pytest.mark.parametrize(
    ("spec", "variation"),
    [
        (
            "optimizer.learning_rate=1e-4..3e-3:log",
            Range("optimizer.learning_rate", 1e-4, 3e-3, is_log=True),
        ),
        ("optimizer.weight_decay=0..1", Range("optimizer.weight_decay", 0.0, 1.0)),
        ("training.batch_size=32..128", Range("training.batch_size", 32, 128)),
        ("vae.latent_shape=[4]..[64]", Range("vae.latent_shape", 4, 64, in_list=True)),
        ("training.batch_size=16,32,16", Choices("training.batch_size", ("16", "32"))),
        ("vae.encoder.hidden=[8, 4], [4]", Choices("vae.encoder.hidden", ("[8, 4]", "[4]"))),
        (
            'vae.encoder={kind="mlp",hidden=[8]},{kind="conv"}',
            Choices("vae.encoder", ('{kind="mlp",hidden=[8]}', '{kind="conv"}')),
        ),
        (
            "vae.decoder.activation='relu',silu",
            Choices("vae.decoder.activation", ("'relu'", "silu")),
        ),
    ],
)
def test_a_range_takes_its_type_from_the_recipe_and_choices_stay_as_typed(
    spec: str, variation: Range | Choices
) -> None:
    parsed = parse_space([spec], tiny())
    assert parsed == (variation,)
    ends = [getattr(variation, name, None) for name in ("low", "high")]
    assert [type(getattr(parsed[0], name, None)) for name in ("low", "high")] == list(
        map(type, ends)
    )
    assert parse_space([str(parsed[0])], tiny()) == parsed


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ([], "Nothing varies in this sweep. Add --vary optimizer.learning_rate=1e-4..3e-3:log"),
        (["seed"], "--vary seed: has no =. Write --vary seed=LOW..HIGH"),
        (["=3"], "--vary =3: has no entry before the =. Write --vary training.epochs=LOW..HIGH"),
        (["name=a,b"], "a sweep sets the name of its trials itself. Leave it out."),
        (["start=a,b"], "a sweep sets the start of its trials itself. Leave it out."),
        (["vae.latent_dim=16,32"], "Did you mean vae.latent_shape?"),
        (["optimizer.lerning_rate=1..2"], "Did you mean optimizer.learning_rate?"),
        (["seed=1,2", "seed=3,4"], "--vary seed is given twice. Give each entry once."),
        (["training.batch_size=1,,2"], "an empty value. Write --vary training.batch_size=1,2"),
        (["training.batch_size="], "has an empty value. Write --vary training.batch_size=A,B"),
        (
            ["optimizer.learning_rate=3e-3..1e-4"],
            "3e-3 is not below 1e-4. Write --vary optimizer.learning_rate=1e-4..3e-3",
        ),
        (["seed=4..4"], "4 is not below 4. Write --vary seed=4"),
        (
            ["optimizer.weight_decay=0..1:log"],
            "a logarithmic range begins above 0, not at 0. Write --vary "
            "optimizer.weight_decay=0..1",
        ),
        (["seed=1..9:lgo"], "'lgo' is no scale; allowed: log, or none. Write --vary seed=1..9:log"),
        (
            ["optimizer.learning_rate=0..1"],
            "optimizer.learning_rate = 0 is not allowed. Allowed: number > 0. Use --vary "
            "optimizer.learning_rate=0.001.",
        ),
        (
            ["training.batch_size=8.5..9"],
            "training.batch_size = 8.5 is not allowed. Allowed: whole",
        ),
        (["training.batch_size=8,9.5"], "--vary training.batch_size=8,9.5: training.batch_size"),
        (
            ["vae.decoder.activation=relu..silu"],
            "this entry takes choices. Write --vary vae.decoder.activation=relu,silu",
        ),
        (["vae.decoder.activation=relu,silo"], "Did you mean 'silu'?"),
        (
            ["vae.latent_shape=16..32:log"],
            "vae.latent_shape is a list, and 16 is not. Write --vary "
            "'vae.latent_shape=[16]..[32]:log'",
        ),
        (
            ["vae.latent_shape=16,32"],
            "is a list, and 16 is not. Write --vary 'vae.latent_shape=[16],[32]'",
        ),
        (["vae.latent_shape=[2,3]..[4,5]"], "Write --vary 'vae.latent_shape=[2,3],[4,5]'"),
        (
            ["vae.encoder.kind=mlp,conv"],
            "Replace the whole table: --vary 'vae.encoder={kind=\"conv\"}'.",
        ),
        (
            ["training.kl_cycles=2,3"],
            "--vary training.kl_cycles=2,3: training.kl_cycles = 2 repeats the KL's warm-up, but "
            "training.kl_warmup_epochs is 0. Add --set training.kl_warmup_epochs=1.5.",
        ),
    ],
)
def test_a_wrong_variation_is_told_what_to_write(specs: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(specs, tiny())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("objective.beta=1,4", "(bound: ELBO becomes ELBO, beta = 4), so the trials would not"),
        ('objective={kind="iwae",num_samples=5}', "(bound: ELBO becomes IWAE, K = 5)"),
        ("dataset.name=digits,mnist", "(data set: digits becomes mnist)"),
        ("image.background=0,9", "(image.background: 0 becomes 9)"),
        ("vae.num_labels=0,10", "(given labels: False becomes True)"),
    ],
)
def test_trials_whose_bounds_would_not_compare_are_refused(spec: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space([spec], tiny())
    assert words in str(caught.value)
    assert "Run a sweep for each value: --set " in str(caught.value)


def test_a_value_that_is_allowed_with_some_value_of_another_entry_may_vary() -> None:
    specs = ["training.kl_cycles=1,2", "training.kl_warmup_epochs=0,1"]
    assert len(parse_space(specs, tiny())) == 2
