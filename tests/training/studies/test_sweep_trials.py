"""The trials of a sweep in its folder: claims, pruning, and a folder that holds another sweep."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.training.studies.sweep_cases import RATES, open_trials, tiny
from training.errors import RunError
from training.recipes.file import load_recipe
from training.runs.claim import create_or_verify
from training.runs.folder import Progressed
from training.studies.sweep_outcomes import describe_outcome
from training.studies.sweep_trials import MIN_COMPLETE, PRUNED, Claim, Trials, database_errors

pytestmark = pytest.mark.slow
DONE = Progressed(
    step=3, best_bound_nats=-90.0, best_error_nats=0.5, best_epoch=3, stopped_because="over"
)


def claim(trials: Trials, limit: int = 100) -> Claim:
    found = trials.claim(limit)
    assert found is not None
    return found


def finish(trials: Trials, found: Claim, done: Progressed = DONE) -> None:
    """End a trial as if it had been trained."""
    recipe = trials.recipe_of(found)
    create_or_verify(trials.run_dir(found.number), recipe, resume=True)
    with found.lock:
        trials.finish(found, done, recipe)


def test_two_processes_claim_different_trials_and_no_more_than_the_limit(tmp_path: Path) -> None:
    one, other = open_trials(tmp_path / "sweep"), open_trials(tmp_path / "sweep")
    first, second = claim(one, 2), claim(other, 2)
    assert [first.number, second.number] == [0, 1]
    assert first.overrides != second.overrides
    assert one.claim(2) is None
    with first.lock, second.lock:
        pass


def test_a_trial_whose_process_is_gone_is_claimed_again_with_the_same_values(
    tmp_path: Path,
) -> None:
    trials = open_trials(tmp_path / "sweep")
    lost, kept = claim(trials), claim(trials)
    with lost.lock:
        pass  # the kernel releases it where a process ends
    again = claim(open_trials(tmp_path / "sweep"), 2)
    assert (again.number, again.overrides) == (lost.number, lost.overrides)
    assert trials.recipe_of(again) == trials.recipe_of(lost)
    with kept.lock, again.lock:
        assert trials.claim(2) is None


def test_a_trial_that_was_lost_before_its_values_were_drawn_gets_those_that_it_would_have_had(
    tmp_path: Path,
) -> None:
    expected = claim(open_trials(tmp_path / "whole"))
    trials = open_trials(tmp_path / "cut")
    trials.study.ask()
    assert claim(trials).overrides == expected.overrides


def test_trials_have_names_and_seeds_of_their_own_unless_the_seed_varies(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep")
    recipes = [trials.recipe_of(claim(trials)) for _ in range(3)]
    assert [recipe.name for recipe in recipes] == [f"digits-trial-000{n}" for n in range(3)]
    assert len({recipe.seed for recipe in recipes}) == 3
    other = open_trials(tmp_path / "other", "seed=5,6")
    assert other.recipe_of(claim(other)).seed in (5, 6)


def test_whole_numbers_stay_whole_and_a_list_stays_a_list(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep", "vae.latent_shape=[1]..[9]:log", "seed=3..8")
    for _ in range(4):
        recipe = trials.recipe_of(claim(trials))
        assert 3 <= recipe.seed <= 8
        assert 1 <= recipe.vae.latent_shape[0] <= 9
    values = [tuple(outcome.values.items()) for outcome in trials.outcomes()]
    assert values[-1] == (("vae.latent_shape", [*recipe.vae.latent_shape]), ("seed", recipe.seed))


def test_a_long_name_leaves_room_for_the_trial(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep", recipe=tiny(f"name={'a' * 64}"))
    found = claim(trials)
    assert trials.recipe_of(found).name == "a" * 53 + "-trial-0000"
    finish(trials, found)
    assert load_recipe(tmp_path / "sweep/best.toml").name == "a" * 59 + "-best"


def report_after_others(
    folder: Path, *specs: str, prunes: bool = True, warmup: int = 0, epoch: int = 2
) -> bool:
    """Whether a trial is pruned whose bound at an epoch is far below that of the complete ones."""
    recipe = tiny("training.epochs=20", f"training.kl_warmup_epochs={warmup}")
    trials = open_trials(folder, *specs, recipe=recipe, prunes=prunes)
    for _ in range(MIN_COMPLETE):
        found = claim(trials)
        assert not trials.report(found, recipe, epoch, -90.0)
        finish(trials, found)
    found = claim(trials)
    with found.lock:
        assert not trials.report(found, recipe, epoch - 1, float("nan"))
        trials.report(found, recipe, epoch, -100.0)
        return trials.report(found, recipe, epoch, -100.0)  # again, as after a lost checkpoint


def test_a_trial_below_the_median_is_pruned(tmp_path: Path) -> None:
    assert report_after_others(tmp_path / "sweep")


def test_no_trial_is_pruned_in_the_warm_up_nor_at_the_start_nor_where_lengths_vary_nor_on_wish(
    tmp_path: Path,
) -> None:
    assert report_after_others(tmp_path / "after", warmup=2)
    assert not report_after_others(tmp_path / "warm-up", warmup=3)
    assert not report_after_others(tmp_path / "start", epoch=1)
    assert not report_after_others(tmp_path / "lengths", "training.epochs=10,20")
    assert not report_after_others(tmp_path / "wish", prunes=False)


def test_a_pruned_trial_is_never_the_best(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep")
    finish(trials, claim(trials))
    finish(trials, claim(trials), replace(DONE, best_bound_nats=-80.0, stopped_because=PRUNED))
    kept, pruned = trials.outcomes()
    assert (pruned.state, pruned.bound_nats, pruned.reason) == ("pruned", -80.0, PRUNED)
    text = (tmp_path / "sweep/best.toml").read_text()
    assert "best of 2 trials (1 complete, 1 pruned)" in text
    assert f"trial 0, seed {kept.seed}." in text


def test_the_sampler_keeps_away_from_values_that_fail(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep", "optimizer.learning_rate=1e-4..1:log")
    for _ in range(30):
        found = claim(trials)
        rate = trials.recipe_of(found).optimizer.learning_rate
        if rate > 0.05:
            with found.lock:
                trials.fail(found, "it diverged")
        else:  # best next to where it fails
            finish(trials, found, replace(DONE, best_bound_nats=-100 - abs(math.log(rate / 0.04))))
    failed = [outcome.state == "failed" for outcome in trials.outcomes()]
    assert failed.index(True) < 10
    assert sum(failed[10:]) <= 10  # 19 where the sampler does not know of them


def test_a_bound_without_sense_is_written_in_few_digits(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep")
    finish(trials, claim(trials), replace(DONE, best_bound_nats=-1.25e22, best_error_nats=3e21))
    assert describe_outcome(trials.outcomes()[0]).startswith("Trial 0: -1.25e+22 +- 3.00e+21 at ")


def test_an_error_that_is_not_known_is_null(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep")
    finish(trials, claim(trials), replace(DONE, best_error_nats=float("inf")))
    assert trials.outcomes()[0].standard_error_nats is None


def test_a_folder_takes_no_other_sweep_and_says_what_differs(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    open_trials(folder)
    trials = open_trials(folder, "seed=1,2", recipe=tiny("training.epochs=9"))  # had no trial yet
    finish(trials, claim(trials))
    with pytest.raises(ConfigError) as caught:
        open_trials(folder, RATES, recipe=tiny("seed=8"), dataset_sha256="0" * 64)
    words = "seed, training.epochs, --vary (there: seed=1,2), the data set's content differ."
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"name another folder: --sweep-dir {folder}-2")


def test_importances_need_two_different_bounds(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep", RATES, "training.batch_size=300,600")
    finish(trials, claim(trials))
    assert trials.importances() == {}
    for bound_nats in (-85.0, -95.0, -99.0):
        finish(trials, claim(trials), replace(DONE, best_bound_nats=bound_nats))
    shares = trials.importances()
    assert shares.keys() == {"optimizer.learning_rate", "training.batch_size"}
    assert sum(shares.values()) == pytest.approx(1)


def test_a_folder_may_have_any_sign_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "a {b}?c#d %20é"
    open_trials(folder)
    assert (folder / "sweep.db").is_file()


def test_a_damaged_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sweep.db").write_bytes(b"no database " * 100)
    with pytest.raises(RunError) as caught, database_errors(tmp_path):
        open_trials(tmp_path)
    assert f"Cannot use {tmp_path / 'sweep.db'}: file is not a database." in str(caught.value)
    assert "--sweep-dir" in str(caught.value)


def test_without_optuna_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError) as caught, database_errors(tmp_path):
        pass
    assert "needs Optuna, which is not installed. Install the extra sweep: pip " in str(
        caught.value
    )
