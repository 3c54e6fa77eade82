"""What a sweep varies: `--vary KEY=LOW..HIGH[:log]` and `--vary KEY=A,B,C`.

Values are set as `--set` sets them and checked as a recipe is, so that a sweep begins only with
values that the recipe accepts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ConfigError
from training.evaluation.compare import name_validation_bound
from training.recipes.faults import nearest_entry
from training.recipes.file import check_recipe
from training.recipes.overrides import apply_overrides
from training.recipes.recipe import Recipe, quote

if TYPE_CHECKING:
    from optuna.trial import Trial

_RANGE = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(:(?P<scale>.*))?")
_MOST_COMBINATIONS = 64
"""Combinations with other entries that are tried before a value is refused."""


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included."""

    key: str
    low: int | float
    high: int | float
    is_log: bool = False
    """Draw the logarithm uniformly, not the number."""
    in_list: bool = False
    """The entry is a list of one number, such as vae.latent_shape."""

    @property
    def extremes(self) -> list[str]:
        """Overrides that set the lowest and the highest value."""
        return [f"{self.key}={json.dumps(self.value(end))}" for end in (self.low, self.high)]

    def draw(self, trial: "Trial") -> str:
        """The override that sets a trial's value."""
        number: int | float
        if isinstance(self.low, int) and isinstance(self.high, int):
            number = trial.suggest_int(self.key, self.low, self.high, log=self.is_log)
        else:
            number = trial.suggest_float(self.key, self.low, self.high, log=self.is_log)
        return f"{self.key}={json.dumps(self.value(number))}"

    def value(self, drawn: Any) -> Any:
        """The entry's value for a number that Optuna drew."""
        return [drawn] if self.in_list else drawn

    def __str__(self) -> str:
        low, high = (text.partition("=")[2] for text in self.extremes)
        return f"{self.key}={low}..{high}{':log' if self.is_log else ''}"


@dataclass(frozen=True)
class Choices:
    """Values that have no order, as text that `--set` takes."""

    key: str
    texts: tuple[str, ...]

    @property
    def extremes(self) -> list[str]:
        """Overrides that set each value."""
        return [f"{self.key}={text}" for text in self.texts]

    def draw(self, trial: "Trial") -> str:
        """The override that sets a trial's value."""
        return f"{self.key}={trial.suggest_categorical(self.key, self.texts)}"

    def value(self, drawn: Any) -> Any:
        """The entry's value for a text that Optuna drew."""
        return apply_overrides({}, [f"value={drawn}"])["value"]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.texts)}"


Variation = Range | Choices


@dataclass(frozen=True)
class Sweep:
    """What a sweep is: the same in each of its processes."""

    folder: Path
    recipe: Recipe
    """What does not vary; its seed is that of the draws and of the trials' seeds."""
    space: tuple[Variation, ...]


def parse_space(specs: Sequence[str], base: Recipe) -> tuple[Variation, ...]:
    """The entries that vary, with their ranges or choices.

    Args:
        specs: `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C` each.
        base: The recipe that they vary.

    Raises:
        ConfigError: There is none, one cannot be read, its entry is unknown, the recipe refuses a
            value, or trials with its values would not compare.
    """
    if not specs:
        fix = "--vary optimizer.learning_rate=1e-4..3e-3:log"
        raise ConfigError(
            f"Nothing varies in this sweep. Add {fix}", parameter="--vary", suggestion=fix
        )
    space = tuple(_parse(spec, base) for spec in specs)
    keys = [variation.key for variation in space]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(
                f"--vary {key} is given twice. Give each entry once.",
                parameter="--vary",
                received=key,
            )
    for spec, variation in zip(specs, space, strict=True):
        others = [other for other in space if other is not variation]
        for override in variation.extremes:
            _check_comparable(spec, override, _accept(spec, override, base, others), base)
    return space


def vary(base: Recipe, overrides: Sequence[str], where: str) -> Recipe:
    """A recipe with other values.

    Args:
        base: The recipe.
        overrides: `a.b=c` each.
        where: What the message begins with where entries do not go together.

    Raises:
        ConfigError: The recipe refuses a value.
    """
    values = apply_overrides(base.model_dump(mode="json"), overrides)
    return check_recipe(values, where, overrides=overrides)


def _parse(spec: str, base: Recipe) -> Variation:
    key, equals, text = (part.strip() for part in spec.partition("="))
    if not equals or not key:
        raise _fault(spec, "has no entry before the =" if equals else "has no =", _example(key))
    if key in ("name", "start"):
        raise ConfigError(
            f"--vary {spec}: a sweep sets the {key} of its trials itself. Leave it out.",
            parameter=key,
        )
    texts = list(_split(text))
    found = _RANGE.fullmatch(text) if len(texts) == 1 else None
    if found is not None:
        return _parse_range(spec, key, found, base)
    if not all(texts):
        raise _fault(spec, "has an empty value", f"{key}={','.join(filter(None, texts)) or 'A,B'}")
    return Choices(key, tuple(dict.fromkeys(texts)))


def _parse_range(spec: str, key: str, found: re.Match[str], base: Recipe) -> Range:
    low_text, high_text, scale = found["low"].strip(), found["high"].strip(), found["scale"]
    plain = f"{key}={low_text}..{high_text}"
    if scale not in (None, "log"):
        raise _fault(spec, f"{scale!r} is no scale; allowed: log, or none", f"{plain}:log")
    low, high = (
        _value_at(key, _accept(spec, f"{key}={text}", base, [])) for text in (low_text, high_text)
    )
    in_list = isinstance(low, tuple) and isinstance(high, tuple) and len(low) == len(high) == 1
    if in_list:
        (low,), (high,) = low, high
    if type(low) not in (int, float) or type(high) is not type(low):
        texts = f"{key}={low_text},{high_text}"
        raise _fault(spec, "a range is of numbers; this entry takes choices", texts)
    if low >= high:
        fix = f"{key}={high_text}..{low_text}" if low > high else f"{key}={low_text}"
        raise _fault(spec, f"{low_text} is not below {high_text}", fix)
    if scale == "log" and low <= 0:
        raise _fault(spec, f"a logarithmic range begins above 0, not at {low_text}", plain)
    return Range(key, low, high, is_log=scale == "log", in_list=in_list)


def _accept(spec: str, override: str, base: Recipe, others: Sequence[Variation]) -> Recipe:
    """The recipe with a value, alone or together with some values of what else varies.

    Raises:
        ConfigError: The recipe refuses the value with each of them.
    """
    try:
        return vary(base, [override], f"--vary {spec}")
    except ConfigError as error:
        for more in islice(product(*(other.extremes for other in others)), _MOST_COMBINATIONS):
            try:
                return vary(base, [*more, override], "")
            except ConfigError:
                continue
        raise _refusal(spec, override, error, base) from error


def _refusal(spec: str, override: str, error: ConfigError, base: Recipe) -> ConfigError:
    """The recipe's error for a value, as one of `--vary`."""
    key, _, text = override.partition("=")
    message = str(error).removeprefix(f"--vary {spec}: ")
    for entry in (key, key.rpartition(".")[0]):
        message = re.sub(rf"--set ('?){re.escape(entry)}=", rf"--vary \g<1>{entry}=", message)
    try:
        vary(base, [f"{key}=[{text}]"], "")
    except ConfigError:
        return ConfigError(f"--vary {spec}: {message}", **error.details)
    _, _, given = spec.partition("=")
    values = re.sub(r"\d+", r"[\g<0>]", given)
    return _fault(spec, f"{key} is a list, and {text} is not", f"{key}={values}")


def _check_comparable(spec: str, override: str, recipe: Recipe, base: Recipe) -> None:
    key, _, text = override.partition("=")
    before, after = _measured(base), _measured(recipe)
    for name, value in before.items():
        if after[name] != value:
            raise ConfigError(
                f"--vary {spec}: {key} = {text} changes what validation measures ({name}: {value} "
                f"becomes {after[name]}), so the trials would not compare. Run a sweep for each "
                f"value: --set {quote(override)}",
                parameter=key,
                received=text,
                suggestion=f"--set {quote(override)}",
            )


def _measured(recipe: Recipe) -> dict[str, Any]:
    """What a validation bound of a recipe is of; bounds compare where all of it is the same."""
    return {
        "data set": recipe.dataset.name,
        **{f"image.{name}": value for name, value in recipe.image.model_dump().items()},
        "bound": name_validation_bound(recipe.objective),
        "given labels": recipe.vae.num_labels > 0 and recipe.vae.classifier is None,
    }


def _value_at(key: str, recipe: Recipe) -> Any:
    return reduce(getattr, key.split("."), recipe)


def _split(text: str) -> Iterator[str]:
    """The values between commas that stand in no brackets and no quotes."""
    depth, quoted, value = 0, "", ""
    for sign in text:
        if sign in "\"'" and quoted in ("", sign):
            quoted = "" if quoted else sign
        depth += 0 if quoted else (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0 and not quoted:
            yield value.strip()
            value = ""
        else:
            value += sign
    yield value.strip()


def _example(key: str) -> str:
    return f"{nearest_entry(key)}=LOW..HIGH"


def _fault(spec: str, reason: str, fix: str) -> ConfigError:
    suggestion = f"--vary {quote(fix)}"
    return ConfigError(
        f"--vary {spec}: {reason}. Write {suggestion}",
        parameter="--vary",
        received=spec,
        suggestion=suggestion,
    )
