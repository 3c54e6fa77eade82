"""Decisions about the model: likelihood, networks, latents, labels and prior.

`choose.py` makes them when the model's pictures are decided (`choose_image.py`).
"""

from math import ceil, log2
from typing import Any

from models.vae_config import may_have_principal_path
from training.recipes.describe import Description
from training.recipes.draft import Draft, Reason

ENOUGH = 2_000
"""Number of training pictures from which on a data set is not small."""
_ENCODER_WIDTHS = (32, 64, 96, 96, 96, 96, 96, 96)
"""Channels of the convolutions at one half, one quarter, ... of the sides."""
_DECODER_WIDTHS = (32, 48, 96, 96, 96, 96, 96, 96)
_CLASSIFIER_WIDTHS = (16, 32, 64, 64, 64, 64, 64, 64)
_WIDE_UP_TO = 64
"""Longest side at which layers have 96 channels, so that weights stay below a dozen MiB."""
SMALLEST_CONV = 9
_DEEPEST_SIDE = 7
_LATENTS = ((256, 16), (1_024, 40), (8_192, 64), (float("inf"), 128))
_LEARNT_LATENTS = ((ENOUGH, 128), (500, 32), (0, 16))
_COMPONENTS = 32
_UNEVEN = 1.5
"""Largest ratio of two classes' pictures at which all count as equally probable."""
_FOR_LATENTS = ("reconstruction", "embeddings")
"""Purposes for which the latents are to hold all that can be known of a picture."""
_RECONSTRUCTION_BETA = 0.3


def decide_likelihood(draft: Draft, seen: Description) -> None:
    """The likelihood and the image's levels, which must agree."""
    kind, method = draft.get("vae", "likelihood", "kind"), draft.get("image", "binarization")
    levels = draft.number("image", "levels") or draft.number("vae", "likelihood", "levels")
    as_they_are = set(seen.facts.sizes) == {draft.size}
    binary = seen.facts.is_binary and as_they_are and not draft.has_colour
    wants_binary = kind == "bernoulli" or levels == 2 or method not in (None, "none")
    if wants_binary or (binary and (kind, levels, method) == (None, 0, None)):
        method = "threshold" if seen.facts.is_binary else "stochastic"
        because = "every pixel is black or white" if binary else "two levels were asked for"
        draft.fill({"image": {"levels": 2, "binarization": method}})
        draft.decide("vae", Reason("likelihood", "Bernoulli", because), likelihood=_BERNOULLI)
        return
    native = seen.facts.levels if as_they_are and seen.facts.levels > 2 else 256
    levels = levels or native
    draft.fill({"image": {"levels": levels}})
    if kind in ("continuous_bernoulli", "normal"):
        draft.fill({"image": {"values": "unit"}})
    elif kind == "discretized_normal":
        draft.fill({"vae": {"likelihood": {"kind": kind, "levels": levels}}})
    if draft.asked.purpose in _FOR_LATENTS:
        words = "a discretised normal with one scale for all pixels"
        because = "the decoder cannot put a pixel's error down to its own uncertainty then"
        chosen = {"kind": "discretized_normal", "levels": levels, "scale": "learned"}
    else:
        mixtures = 3 if draft.has_colour else 5
        words = f"{mixtures} discretised logistics a pixel"
        because = f"pixels are integers of {levels} levels, and so bits per dim can be compared"
        if draft.asked.purpose == "anomaly":
            because += "; a low score is a reason to look, a high one is no proof"
        chosen = {"kind": "discretized_logistic", "levels": levels, "num_mixtures": mixtures}
    draft.decide("vae", Reason("likelihood", words, because), likelihood=chosen)


_BERNOULLI = {"kind": "bernoulli"}


def decide_networks(draft: Draft, seen: Description) -> None:
    """Dense layers for a few pixels, else convolutions down to a few."""
    longer = max(draft.size)
    if longer < SMALLEST_CONV:
        reason = Reason("networks", "dense layers", f"{longer} pixels are few for convolutions")
        dense = {"kind": "mlp", "hidden": [512, 512], "activation": "silu", "dropout": 0.3}
        draft.decide("vae", reason, encoder=dense, decoder=dict(dense))
        return
    halvings = _halvings(longer)
    widest = 96 if longer <= _WIDE_UP_TO else 64
    wide = [min(width, widest) for width in _ENCODER_WIDTHS[:halvings]]
    narrow = [min(width, widest) for width in _DECODER_WIDTHS[:halvings]]
    encoder: dict[str, Any] = {"kind": "conv", "channels": wide}
    decoder: dict[str, Any] = {"kind": "conv", "channels": narrow}
    dropout = 0.1 if seen.facts.count >= ENOUGH else 0.2
    reason = Reason(
        "networks",
        f"convolutions that halve {halvings} times",
        f"{longer} pixels become {ceil(longer / 2**halvings)}, few enough for a dense layer",
    )
    blocks = [1] * halvings
    encoder |= {"blocks": blocks, "dropout": dropout}
    draft.decide("vae", reason, encoder=encoder, decoder=decoder | {"blocks": [2, *blocks[1:]]})


def _halvings(longer: int) -> int:
    """How often a side is halved until few pixels are left."""
    return min(len(_ENCODER_WIDTHS), max(1, ceil(log2(longer / _DEEPEST_SIDE))))


def decide_latents(draft: Draft, seen: Description) -> None:
    """As many as a picture's values ask for, and no more than the pictures can teach."""
    height, width = draft.size
    values, count = draft.number("image", "channels") * height * width, seen.facts.count
    described = next(latents for limit, latents in _LATENTS if values <= limit)
    learnt = next(latents for fewest, latents in _LEARNT_LATENTS if count >= fewest)
    if learnt < described:
        because = f"{count:,} pictures are too few to learn more ways in which pictures differ"
    else:
        because = f"a picture holds {values:,} values, and latents that are not needed cost nothing"
    latents = min(described, learnt)
    draft.decide("vae", Reason("latents", str(latents), because), latent_shape=[latents])


def decide_principal_path(draft: Draft, seen: Description) -> None:
    """Principal components, where locations are on the scale of levels and z has one axis."""
    if may_have_principal_path(draft.values["vae"]):
        because = "networks then learn what a PCA of as many numbers leaves out of a picture"
        reason = Reason("start", "the pictures' principal components", because)
        draft.decide("vae", reason, principal_path=True)


def decide_labels(draft: Draft, seen: Description) -> None:
    """A model with labels and a classifier, where every class has enough pictures."""
    found, kind = seen.classes, draft.get("objective", "kind")
    if found is None or draft.get("vae", "num_labels") == 0 or kind not in (None, "m2"):
        return
    if found.unused_because:
        draft.decide("vae", Reason("labels", "not used", found.unused_because), num_labels=0)
        return
    if draft.asked.purpose in _FOR_LATENTS and kind is None and not _asks_for_labels(draft):
        because = "the latents are to hold all that a picture shows, its class too"
        draft.decide("vae", Reason("labels", "not used", because), num_labels=0)
        return
    longer = max(draft.size)
    classifier: dict[str, Any] = {"kind": "mlp", "hidden": [256], "dropout": 0.3}
    if longer >= SMALLEST_CONV:
        widths = list(_CLASSIFIER_WIDTHS[: _halvings(longer)])
        classifier = {"kind": "conv", "channels": widths, "blocks": [0] * len(widths)}
        classifier["dropout"] = 0.3
    reason = Reason(
        "labels",
        f"{found.count} classes, by objective m2",
        f"each has at least {found.fewest:,} training pictures, enough to name a picture's class "
        "and to draw samples of one",
    )
    draft.decide("vae", reason, num_labels=found.count, classifier=classifier)
    if max(found.shares) > _UNEVEN * min(found.shares):
        draft.fill({"vae": {"label_probabilities": list(found.shares)}})
    draft.fill({"objective": {"kind": "m2"}})


def _asks_for_labels(draft: Draft) -> bool:
    return bool(draft.get("vae", "num_labels") or draft.get("vae", "classifier"))


def decide_prior(draft: Draft, seen: Description) -> None:
    """A mixture for few pictures; the KL to it has no closed form, so it is sampled."""
    if draft.get("vae", "num_labels"):
        because = "pictures of a class are alike"
        reason = Reason("prior", "a normal for each class", because)
        draft.decide("vae", reason, prior={"kind": "label_normal"})
    elif draft.asked.purpose == "samples":
        because = "it learns where the latents of pictures lie, and samples are drawn there"
        reason = Reason("prior", f"a mixture of {_COMPONENTS} normals", because)
        draft.decide("vae", reason, prior={"kind": "mixture", "num_components": _COMPONENTS})
    elif seen.facts.count >= ENOUGH:
        because = f"{seen.facts.count:,} pictures fill it, and latents can be moved along freely"
        reason = Reason("prior", "standard normal", because)
        draft.decide("vae", reason, prior={"kind": "standard_normal"})
    else:
        because = f"{seen.facts.count:,} pictures would leave most of a standard normal empty"
        reason = Reason("prior", f"a mixture of {_COMPONENTS} normals", because)
        draft.decide("vae", reason, prior={"kind": "mixture", "num_components": _COMPONENTS})
    if draft.asked.purpose == "reconstruction":
        because = "latents that cost less hold more of a picture"
        reason = Reason("weight of the KL", f"{_RECONSTRUCTION_BETA:g}", because)
        draft.decide("objective", reason, kind="elbo", beta=_RECONSTRUCTION_BETA)
    draft.fill({"objective": {"kind": "elbo"}})
    if draft.get("vae", "prior", "kind") in ("mixture", "vamp"):
        draft.fill({"objective": {"kind": "elbo", "kl": "sampled"}})
