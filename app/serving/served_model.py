"""A loaded bundle: what it can do and what it costs."""

from dataclasses import dataclass

from app.operations.parameters import Parameters
from app.operations.table import Abilities, Need, Operation
from app.serving.capabilities import abilities, unmet_needs
from models.bundle.loading import Bundle
from models.errors import UnsupportedOperation
from models.vae.model import VAE

MIN_COST = 0.01
"""Cost units of one row of the smallest model: a pass has a price of its own."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle, what it can do and what it costs."""

    bundle: Bundle
    lacks: dict[Need, str]
    """What it cannot do, and why."""
    cost: float
    """Cost units of one row: millions of multiply-accumulates of a decoding."""
    device: str

    @property
    def name(self) -> str:
        """Of the model."""
        return self.bundle.name

    @property
    def version(self) -> int:
        """Of the bundle."""
        return self.bundle.version

    @property
    def vae(self) -> VAE:
        """In eval mode, without gradients."""
        return self.bundle.vae

    @property
    def capabilities(self) -> Abilities:
        """What it can do."""
        return abilities(self.lacks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it is conditional on, or their indices where they have none."""
        count, names = self.vae.num_labels, self.bundle.config.labels
        return names if len(names) == count else tuple(map(str, range(count)))

    @property
    def label_probabilities(self) -> list[float]:
        """p(y), in the order of the labels."""
        config = self.vae.config
        uniform = [1 / config.num_labels] * config.num_labels if config.num_labels else []
        return list(config.label_probabilities) or uniform

    @property
    def classes(self) -> tuple[str, ...]:
        """What `classify` chooses among: labels, or the indices of a mixture's components."""
        if "classes" in self.lacks:
            return ()
        return self.labels or tuple(map(str, range(self.vae.num_latents)))

    def offers(self, operation: Operation) -> bool:
        """Whether the model meets the operation's needs."""
        return not any(need in self.lacks for need in operation.needs)

    def unavailable_options(self, operation: Operation) -> list[str]:
        """Parameter values that this model cannot serve, as `name=value`."""
        return [
            f"{name}={value}"
            for (name, value), need in operation.option_needs.items()
            if need in self.lacks
        ]

    def check_needs(self, operation: Operation, parameters: Parameters) -> None:
        """Refuse what this model cannot do.

        Raises:
            UnsupportedOperation: Names the needs, and says why they are not met.
        """
        missing = {need: in_words(need) for need in operation.needs if need in self.lacks}
        remedy = "Choose another model"
        for (name, value), need in operation.option_needs.items():
            given, default = getattr(parameters, name), type(parameters).model_fields[name].default
            chosen = given != default if value == "*" else given == value
            if chosen and need in self.lacks and need not in missing:
                missing[need] = f"{in_words(need)} (for {name}={given})"
                remedy = "Choose another model or leave the parameter out"
        if missing:
            reasons = "; ".join(dict.fromkeys(self.lacks[need] for need in missing))
            raise UnsupportedOperation(
                f"`{operation.name}` as asked needs a model with {', '.join(missing.values())}; "
                f"{self.name} version {self.version} has none: {reasons}. {remedy}."
            )


def in_words(need: Need) -> str:
    """A need as a sentence has it."""
    return need.replace("_", " ")


def served_model(bundle: Bundle, device: str) -> ServedModel:
    """What a bundle can do and costs."""
    cost = max(bundle.vae.decoder_macs() / 1e6, MIN_COST)
    return ServedModel(bundle, unmet_needs(bundle.vae), cost, device)
