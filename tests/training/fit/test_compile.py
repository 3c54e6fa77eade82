"""`training.compile`: the same run, by a graph instead of call after call.

It runs in a process of its own: the checks of types that tests add cannot be traced.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from functools import partial
from pathlib import Path

import torch

from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.runs.checkpoint import CHECKPOINT

# The graph that inductor would translate to C++, run as it is: a compiler takes a minute.
torch.compile = partial(torch.compile, backend="aot_eager")
CHANGES = [
    *("vae.encoder.hidden=[16]", "vae.decoder.hidden=[16]", "objective.kind=iwae"),
    *("training.epochs=2", "training.kl_warmup_epochs=1", "training.kl_cycles=2"),
]
ends = []
for compiled in ("false", "true"):
    changes = [*CHANGES, f"training.compile={compiled}"]
    recipe = load_recipe(RECIPES / "digits.toml", overrides=changes)
    run_dir = Path(sys.argv[1]) / compiled
    train(recipe, run_dir=run_dir, device="cpu", tensorboard=False)
    ends.append(torch.load(run_dir / CHECKPOINT, weights_only=True)["vae"])
assert torch._dynamo.utils.counters["frames"]["ok"] > 0
for name, value in ends[0].items():
    assert torch.allclose(value, ends[1][name], rtol=1e-3, atol=1e-5), name
print("same")
"""


def test_a_compiled_objective_ends_with_the_same_weights_but_for_rounding(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["same"], done.stderr
