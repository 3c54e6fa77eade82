"""The numbers of a model card: a table, what its words mean, and what other means need.

It computes none of them (`evaluate.py`, `baselines.py`).
"""

from math import log

from models.bundle.schema import Estimate, Evaluation
from models.vae.model import VAE
from training.evaluation.baselines import DESCRIPTIONS
from training.evaluation.table import describe_estimator, format_optional

_ERRORS = ("error, images", "error, draws")


def write_numbers(evaluation: Evaluation, vae: VAE) -> str:
    """The section as Markdown, without its heading."""
    repeated = (
        "`vae-lab evaluate` on this folder repeats the numbers; `evaluation.json` has them "
        "unrounded"
    )
    if not vae.has_density:
        return f"{_errors(evaluation, vae)}\n{repeated}."
    return (
        f"{_scores(evaluation, vae)}\n{repeated}, and the sorted scores of single images, among "
        "which the service finds percentiles."
    )


def _scores(evaluation: Evaluation, vae: VAE) -> str:
    exact = any(estimate.estimator == "exact" for estimate in evaluation.estimates)
    bounds = (
        "The row *exact* is log p(x) itself, since the posterior is exact; the ELBO estimates it."
        if exact
        else "Both kinds of row are bounds: in expectation they lie below log p(x), the more draws "
        "(K) the closer."
    )
    return f"""\
How probable the model finds the {evaluation.split} split of `{evaluation.dataset}`: \
{evaluation.num_images:,} images that neither training nor the choice of the weights has seen.

{_numbers(evaluation)}

- *Nats* are natural logarithms of probabilities, the mean over images: higher is better. {bounds}
{_bits_note(evaluation, vae)}
- "Error, images" is the standard error of that mean over images; "error, draws" is the part of it \
that the random draws bring.{_subset_note(evaluation)}
- A latent costs {evaluation.rate_nats:.2f} nats (rate, the mean KL from q(z|x) to the prior), the \
picture given its latent {evaluation.distortion_nats:.2f} nats (distortion){_groups(evaluation)}\
{_active(evaluation, vae)}.{_classified(evaluation)}
{_baselines(evaluation, vae)}"""


def _groups(evaluation: Evaluation) -> str:
    if not evaluation.kl_per_group_nats:
        return ""
    each = ", ".join(f"{kl:.2f}" for kl in evaluation.kl_per_group_nats)
    return f"; the layers, from the one next to the picture, {each} nats"


def _active(evaluation: Evaluation, vae: VAE) -> str:
    if vae.config.encoder is None:
        return ""
    return (
        f"; {evaluation.active_units} of {vae.num_latents} latent dimensions carry something (the "
        "mean of q(z|x) varies over the data by more than 0.01)"
    )


def _classified(evaluation: Evaluation) -> str:
    found = evaluation.classification
    if found is None:
        return ""
    means = {
        "classifier": "its classifier q(y|x)",
        "bayes": f"Bayes' rule, with {found.num_samples} draws for each class",
    }[found.method]
    return (
        f"\n- It names the right class of {100 * found.accuracy:.2f} +- "
        f"{100 * found.standard_error:.2f} % of {found.n:,} images, by {means}. The scores above "
        "are of log p(x), the class summed over."
    )


def _errors(evaluation: Evaluation, vae: VAE) -> str:
    return f"""\
Of the {evaluation.split} split of `{evaluation.dataset}`, {evaluation.num_images:,} images that \
neither training nor the choice of the weights has seen, a reconstruction is off by \
{evaluation.squared_error or 0.0:.4f}: the squared error on the scale 0..1, summed over an image, \
the mean over images{_active(evaluation, vae)}.
"""


def _numbers(evaluation: Evaluation) -> str:
    rows = [
        _line("estimate", "images", "nats per image", *_ERRORS, "bits per dim", "seed"),
        _line(*["---"] * 7),
        *(_row(estimate) for estimate in evaluation.estimates),
    ]
    return "\n".join(rows)


def _row(estimate: Estimate) -> str:
    return _line(
        describe_estimator(estimate),
        f"{estimate.n:,}",
        f"{estimate.mean_nats:.2f}",
        f"{estimate.standard_error_nats:.2f}",
        format_optional(estimate.monte_carlo_error_nats, ".3f"),
        format_optional(estimate.bits_per_dim, ".4f"),
        str(estimate.seed),
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _bits_note(evaluation: Evaluation, vae: VAE) -> str:
    if all(estimate.bits_per_dim is None for estimate in evaluation.estimates):
        return "- The likelihood is a density, so that nats depend on the scale of pixels, 0..1."
    shape = " x ".join(map(str, vae.image_shape))
    return (
        "- *Bits per dim* are the same per number of an image "
        f"({shape} = {vae.config.num_dimensions:,} of them) in binary: what a perfect compressor "
        "with this model would need at most. Lower is better."
    )


def _subset_note(evaluation: Evaluation) -> str:
    subset = {e.n for e in evaluation.estimates if e.n < evaluation.num_images}
    if not subset:
        return ""
    return f" Rows of {min(subset):,} images are of a random subset that the seed chooses."


def _baselines(evaluation: Evaluation, vae: VAE) -> str:
    if not evaluation.baselines:
        return ""
    best = [e for e in evaluation.estimates if e.n == evaluation.num_images][-1]
    rows = [
        _line("the same images by", "images", "bits per dim", "error, images"),
        _line(*["---"] * 4),
        _line(
            f"this model, {describe_estimator(best)}",
            f"{best.n:,}",
            format_optional(best.bits_per_dim, ".4f"),
            f"{best.standard_error_nats / (vae.config.num_dimensions * log(2)):.4f}",
        ),
        *(
            _line(
                DESCRIPTIONS[baseline.kind],
                f"{baseline.n:,}",
                f"{baseline.bits_per_dim:.4f}",
                format_optional(baseline.standard_error_bits_per_dim, ".4f"),
            )
            for baseline in evaluation.baselines
        ),
    ]
    files = len(evaluation.baselines) > 1
    note = (
        " Lossless files of the same levels count with all their bytes: a file per image begins "
        "with what any file of its format does (57 bytes of a PNG), which weighs much in a small "
        "image; stacked, the images share a few tall files."
    )
    return "\n".join(
        [
            "",
            *rows,
            "",
            "The histogram takes every pixel for itself, with how often each level occurs there in "
            f"the training images (and once more).{note if files else ''}",
            "",
        ]
    )
