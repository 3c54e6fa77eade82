"""Scores of many images by one model, batch by batch: a loop for evaluation, studies, validation.

Noise is keyed by an image's position among `x`, so that no draw depends on the size of a batch.
The estimates themselves are those of `models.estimators`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from rich.progress import Progress
from torch import Tensor

from models.bundle.schema import Annealed
from models.estimators.activity import activity, prior_variance, two_means_steps
from models.estimators.annealed_chains import Annealing
from models.estimators.annealing import (
    AnnealedEstimate,
    Sandwich,
    annealed_log_px_steps,
    sandwich_steps,
)
from models.estimators.bounds import squared_error
from models.estimators.elbo import ElboEstimate, elbo_steps
from models.estimators.importance import EvidenceEstimate, log_px_steps
from models.estimators.labels import classify_steps, rows_steps
from models.estimators.passes import posterior_steps
from models.estimators.reconstruction import (
    PictureErrors,
    latent_steps,
    picture_errors,
    reconstruction_steps,
)
from models.estimators.refine import refined_log_px_steps
from models.estimators.simulated import Simulated
from models.estimators.steps import CHUNK_ROWS, Pass, Steps, run_steps
from models.scores.kinds import Estimator
from models.vae.model import VAE
from training.evaluation.unfinished import Unfinished

BATCH_SIZE = 100
_GPU_CHUNK_ROWS = 16_384

Images = Float[Tensor, "batch channel height width"]
Labels = Int64[Tensor, " batch"]
T = TypeVar("T")
E = TypeVar("E", ElboEstimate, EvidenceEstimate, AnnealedEstimate, Sandwich)


@dataclass(frozen=True)
class Scorer:
    """A model and the images that it scores; every result has a row per image, in their order."""

    vae: VAE
    """The model that scores, in eval mode."""
    x: Images
    """Observations; each batch is moved to the model's device and precision."""
    y: Labels | None = None
    """Labels, for bounds on log p(x|y); without them a model with labels averages over them."""
    batch_size: int = BATCH_SIZE
    progress: Progress | None = None
    """Where each estimate adds a task that counts images."""
    unfinished: Unfinished | None = None
    """Keeps the results of each batch, and has those of an interrupted evaluation."""

    def elbo(self, *, num_samples: int, seed: int) -> ElboEstimate:
        """The ELBO of each image and its parts."""
        steps = partial(elbo_steps, num_samples=num_samples, seed=seed)
        return concatenate(self._run(steps, name_estimator("elbo", num_samples)))

    def log_px(
        self, *, num_samples: Sequence[int], seed: int, estimator: Estimator = "iwae"
    ) -> list[EvidenceEstimate]:
        """log p(x) of each image by importance sampling, at each of several ascending K."""
        steps = partial(log_px_steps, num_samples=num_samples, seed=seed, estimator=estimator)
        by_batch = self._run(steps, name_estimator(estimator, num_samples[-1]))
        return [concatenate(batches) for batches in zip(*by_batch, strict=True)]

    def refined_log_px(self, *, num_samples: int, seed: int) -> EvidenceEstimate:
        """log p(x), or log p(x|y), of each image by draws of a proposal fitted to it."""
        steps = partial(refined_log_px_steps, num_samples=num_samples, seed=seed)
        return concatenate(self._run(steps, f"refined, K = {num_samples:,}"))

    def annealed_log_px(self, *, settings: Annealing, seed: int) -> AnnealedEstimate:
        """log p(x), or log p(x|y), of each image by annealed importance sampling."""

        def steps(
            vae: VAE, x: Images, *, chunk_rows: int, **options: Any
        ) -> Steps[AnnealedEstimate]:
            return annealed_log_px_steps(vae, x, settings=settings, seed=seed, **options)

        return concatenate(self._run(steps, name_annealing(settings)))

    def sandwich(self, z: Tensor, *, settings: Annealing, seed: int) -> Sandwich:
        """Both bounds of images that the model has made from the latents z."""

        def steps(
            vae: VAE, x: Images, *, y: Tensor | None, first_item: int, chunk_rows: int
        ) -> Steps[Sandwich]:
            made = Simulated(x, z[first_item : first_item + len(x)], y)
            return sandwich_steps(vae, made, settings=settings, seed=seed, first_item=first_item)

        return concatenate(self._run(steps, f"BDMC, {settings.num_steps:,} steps"))

    def label_log_probs(self, *, num_samples: int, seed: int) -> Float[Tensor, "batch label"]:
        """log q(y|x) of each image, by `num_samples` draws a label where there is no classifier."""

        def steps(vae: VAE, x: Images, *, y: object, **options: int) -> Steps[Tensor]:
            return classify_steps(vae, x, num_samples=num_samples, seed=seed, **options)

        return torch.cat([log_q.cpu() for log_q in self._run(steps, "labels")])

    def posterior_means(self) -> Float[Tensor, "batch ..."]:
        """E_q[z] of each image; of a model with labels its mean over q(y|x)."""

        def steps(vae: VAE, x: Images, *, chunk_rows: int, **_: object) -> Steps[Tensor]:
            rows = yield from rows_steps(vae, x, None, chunk_rows=chunk_rows)
            q: Any = yield from posterior_steps(vae, rows.x, rows.y)
            return rows.expect(q.mean, axis=0).cpu()

        return torch.cat(self._run(steps, "posterior means"))

    def activity(self) -> Float64[Tensor, "batch latent"]:
        """Terms of each image whose mean is the activity of each latent dimension."""
        two_means = torch.cat(self._run(partial(_two_means, seed=0), "activity"))
        return activity(two_means, prior_variance(self.vae, seed=0))

    def latents(self) -> Float[Tensor, "batch latent"]:
        """The flattened posterior mean of each image, as the service's `encode` gives it.

        A model with labels takes the most probable label.
        """

        def steps(vae: VAE, x: Images, *, chunk_rows: int, **_: object) -> Steps[Tensor]:
            z, _y = yield from latent_steps(vae, x, chunk_rows=chunk_rows)
            return z.flatten(1).cpu()

        return torch.cat(self._run(steps, "latents"))

    def reconstructions(self) -> PictureErrors:
        """How close the reconstruction of each image comes, as `reconstruct` gives it."""

        def steps(vae: VAE, x: Images, *, chunk_rows: int, **_: object) -> Steps[PictureErrors]:
            _z, picture = yield from reconstruction_steps(vae, x, chunk_rows=chunk_rows)
            errors = picture_errors(x, picture, unit_scale=vae.unit_scale)
            return PictureErrors(*(error.cpu() for error in errors))

        found = self._run(steps, "reconstructions")
        return PictureErrors(*map(torch.cat, zip(*found, strict=True)))

    def squared_errors(self) -> Float64[Tensor, " batch"]:
        """|x - picture|^2 of each image on the unit scale, summed over its elements."""

        def steps(vae: VAE, x: Images, **_: object) -> Steps[Tensor]:
            errors: Tensor
            (errors,) = yield Pass(_squared_error, (vae,), (x,))
            return errors.double().cpu()

        return torch.cat(self._run(steps, "squared error"))

    @torch.no_grad()
    def _run(self, steps: Callable[..., Steps[T]], description: str) -> list[T]:
        """Run an estimate of every batch to its end."""
        weight, key = next(self.vae.parameters()), f"{description}, {len(self.x)} images"
        results: list[T] = self.unfinished.batches(key) if self.unfinished is not None else []
        # A few rows leave a GPU idle; many make a CPU fetch memory for every layer anew.
        chunk_rows = _GPU_CHUNK_ROWS if weight.is_cuda else CHUNK_ROWS
        max_rows = None if weight.is_cuda else self.vae.decoder.block_rows
        progress = self.progress or Progress(disable=True)
        task = progress.add_task(description, total=len(self.x))
        done = min(len(self.x), len(results) * self.batch_size)
        progress.advance(task, done)
        for first in range(done, len(self.x), self.batch_size):
            x = self.x[first : first + self.batch_size].to(weight)
            y = None if self.y is None else self.y[first : first + len(x)].to(x.device)
            estimate = steps(self.vae, x, y=y, first_item=first, chunk_rows=chunk_rows)
            results.append(run_steps(estimate, max_rows=max_rows))
            progress.advance(task, len(x))
            if self.unfinished is not None:
                self.unfinished.keep(key, results)
        return results


def _two_means(vae: VAE, x: Images, *, y: object, **options: int) -> Steps[Tensor]:
    return two_means_steps(vae, x, **options)


def _squared_error(vae: VAE, x: Tensor) -> tuple[Tensor, ...]:
    return (squared_error(vae, x),)


def concatenate(batches: Sequence[E]) -> E:
    """The estimates of several batches as one estimate of all their images."""

    def joined(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        if isinstance(values[0], Tensor):
            return torch.cat(values)
        return sum(values, ()) if isinstance(values[0], tuple) else values[0]

    return replace(batches[0], **{field.name: joined(field.name) for field in fields(batches[0])})


def name_annealing(settings: Annealing | Annealed) -> str:
    """How tables, model cards and progress bars call an annealed estimate."""
    start = {"prior": "the prior", "posterior": "the encoder's q", "refined": "refined q"}[
        settings.start
    ]
    return f"AIS from {start}, {settings.num_steps:,} steps"


def name_estimator(estimator: str, num_samples: int) -> str:
    """How tables, figures, model cards and progress bars call an estimate."""
    if estimator == "exact":
        return "log p(x), exact"
    if estimator == "elbo":
        return f"ELBO, {num_samples} draws"
    return f"IWAE, K = {num_samples:,}"
