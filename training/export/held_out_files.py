"""What a bundle shows of held-out pictures: some of them, and a map of their latents."""

from dataclasses import dataclass

from models.bundle.examples import EXAMPLES, Examples
from models.bundle.latent_map import MAP, LatentMap, why_no_map
from models.bundle.saving import optional_files
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.evaluation.held_out import HeldOut, choose_examples
from training.evaluation.latent_plane import FEWEST_POINTS, make_map
from training.export.sections import with_section


@dataclass(frozen=True)
class HeldOutFiles:
    """Files of a bundle; what it does not have is None, and said in `left_out`."""

    examples: Examples | None
    latent_map: LatentMap | None
    left_out: tuple[str, ...]
    """Why a file is missing, a sentence each."""

    @property
    def files(self) -> dict[str, bytes]:
        """Content by name, as `save_bundle` writes it."""
        return optional_files(examples=self.examples, latent_map=self.latent_map)

    def describe_on(self, card: str) -> str:
        """A card that says which pictures the files are of."""
        lines = []
        if self.examples is not None:
            lines.append(f"`{EXAMPLES}` has {self.examples.source}")
        if self.latent_map is not None:
            lines.append(
                f"`{MAP}` has the posterior means of {self.latent_map.source} They are projected "
                "on their first two principal components."
            )
        if not lines:
            return card
        return with_section(card, "## Held-out pictures\n\n" + "\n\n".join(lines))


def make_held_out_files(
    vae: VAE, spec: ImageSpec, held_out: HeldOut, *, with_examples: bool | None
) -> HeldOutFiles:
    """Choose and map held-out pictures.

    Args:
        vae: The model, in eval mode.
        spec: Its image spec.
        held_out: The pictures.
        with_examples: Whether to publish pictures; None where their licence allows it.
    """
    left_out = []
    examples, latent_map = None, None
    dataset = held_out.dataset
    may_publish = bool(dataset.republished_under) if with_examples is None else with_examples
    if may_publish:
        examples = choose_examples(held_out, spec)
    else:
        left_out.append(
            f"No examples: no licence is known that lets pictures of {dataset.name} be published, "
            "and a bundle is published. If you may publish them, add --examples."
        )
    why = why_no_map(vae.config)
    if len(held_out.x) < FEWEST_POINTS:
        why = why or f"{len(held_out.x)} pictures are too few; it takes {FEWEST_POINTS}"
    if why is None:
        latent_map = make_map(vae, held_out)
    else:
        left_out.append(f"No map: {why}.")
    return HeldOutFiles(examples, latent_map, tuple(left_out))
