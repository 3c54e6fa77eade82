"""Inputs and outputs of a model's networks: names, shapes, units, and how pictures become x."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.images.spec import ImageSpec
from models.vae.model import VAE

POSTERIOR_OUTPUTS: dict[str, tuple[str, ...]] = {
    "diagonal_normal": ("loc", "scale"),
    "full_normal": ("loc", "scale", "diagonal", "lower"),
    "bottom_up": ("loc", "scale"),
    "ladder": ("loc", "scale"),
    "point": ("loc",),
}
"""Parameters of q(z|x) by its kind; an enumerated posterior has no encoder."""
LIKELIHOOD_OUTPUTS: dict[str, tuple[str, ...]] = {
    "bernoulli": ("mean", "logits"),
    "continuous_bernoulli": ("mean", "logits"),
    "discretized_logistic": ("mean", "logits", "loc", "scale"),
    "discretized_normal": ("mean", "loc", "scale"),
    "normal": ("mean", "scale"),
    "point": ("mean",),
}
"""Mean and parameters of p(x|z) by its kind."""
_OF_X = {
    "loc": "mean of q(z|x)",
    "scale": "standard deviation of each number of z",
    "diagonal": "diagonal of T, where z = loc + T noise",
    "lower": "T below its diagonal, in a square of zeros",
}
_GROUPED = {
    "loc": "mean of each layer of z, given the mean of the layer drawn before it",
    "scale": "standard deviation of each layer of z, given the mean of the layer drawn before it",
}
_POINT = {"loc": "the latent of x"}


class Port(NamedTuple):
    """An input or output of a network."""

    name: str
    dtype: str
    """float32 or int64."""
    shape: tuple[int, ...]
    """Without the batch axis, which comes first and has any length."""
    meaning: str

    def describe(self) -> dict[str, Any]:
        """The same for JSON, with the batch axis."""
        return {**self._asdict(), "shape": ["batch", *self.shape]}


class Part(NamedTuple):
    """A network that becomes a file."""

    name: str
    about: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    compute: Callable[..., tuple[Tensor, ...]]
    """From the VAE and the inputs to the outputs."""
    stored: dict[str, str]
    """Name of each output in parity.safetensors, which does not hold all of them."""
    source: str
    """The tensor of parity.safetensors that the first input is."""

    def inputs_of(self, stored: dict[str, Tensor], vae: VAE) -> tuple[Tensor, ...]:
        """The inputs behind the stored outputs; labels are 0, 1, ... in turn."""
        first = stored[self.source]
        labels = (torch.arange(len(first)) % vae.num_labels,) if len(self.inputs) > 1 else ()
        return first, *labels


def parts_of(vae: VAE) -> list[Part]:
    """The networks of a model that has an encoder."""
    x = Port("x", "float32", vae.image_shape, _meaning_of_x(vae))
    z = Port("z", "float32", tuple(vae.latent_shape), "latent")
    last = vae.num_labels - 1
    labels = (Port("y", "int64", (), f"index of the class, 0..{last}"),) if vae.num_labels else ()
    given = "(z|x,y)" if labels else "(z|x)"
    encoder = _part(
        vae,
        "encoder",
        f"Parameters of q{given}",
        (x, *labels),
        _posterior_meanings(vae),
        compute=lambda model, *inputs: model.posterior(*inputs),
    )
    decoder = _part(
        vae,
        "decoder",
        "Mean and parameters of p(x|z,y)" if labels else "Mean and parameters of p(x|z)",
        (z, *labels),
        _likelihood_meanings(vae),
        compute=lambda model, *inputs: model.likelihood(*inputs),
    )
    if vae.config.classifier is None:
        return [encoder, decoder]
    logits = Port("logits", "float32", (vae.num_labels,), "q(y|x) is their softmax")
    classifier = Part(
        "classifier",
        "Logits of q(y|x)",
        (x,),
        (logits,),
        lambda model, x: (model.label_logits(x),),
        {"logits": "label_logits"},
        "x",
    )
    return [encoder, decoder, classifier]


def _part(
    vae: VAE,
    name: str,
    about: str,
    inputs: tuple[Port, ...],
    meanings: dict[str, str],
    *,
    compute: Callable[..., Any],
) -> Part:
    """A part whose outputs are members of the distribution that `compute` gives."""

    def outputs_of(model: VAE, *given: Tensor) -> tuple[Tensor, ...]:
        distribution = compute(model, *given)
        return tuple(getattr(distribution, output) for output in meanings)

    types = {"float32": torch.float32, "int64": torch.int64}
    with torch.no_grad():
        one = [torch.zeros(1, *port.shape, dtype=types[port.dtype]) for port in inputs]
        shapes = [tuple(output.shape[1:]) for output in outputs_of(vae, *one)]
    outputs = tuple(
        Port(output, "float32", shape, meaning)
        for (output, meaning), shape in zip(meanings.items(), shapes, strict=True)
    )
    prefix = {"encoder": "posterior_", "decoder": "likelihood_"}[name]
    source = {"encoder": "x", "decoder": "posterior_loc"}[name]
    stored = {output: f"{prefix}{output}" for output in meanings}
    return Part(name, about, inputs, outputs, outputs_of, stored, source)


def _posterior_meanings(vae: VAE) -> dict[str, str]:
    kind = vae.config.posterior.kind
    words = _POINT if kind == "point" else _GROUPED if vae.config.latent_groups else _OF_X
    return {name: words[name] for name in POSTERIOR_OUTPUTS[kind]}


def _likelihood_meanings(vae: VAE) -> dict[str, str]:
    config = vae.config.likelihood
    words = {"mean": f"mean of p(x|z): {_meaning_of_x(vae)}"}
    if config.kind in ("discretized_logistic", "discretized_normal"):
        on = f"where level 0 is -1 and level {config.levels - 1} is 1"
        words |= {"loc": f"locations on the scale {on}", "scale": f"scales on the scale {on}"}
        words["logits"] = "weights of the mixture's components are their softmax over axis 1"
        words["coupling"] = "added to locations: red to green, red to blue, green to blue"
    elif config.kind == "normal":
        words["scale"] = "standard deviation of each number of x"
    elif config.kind == "continuous_bernoulli":
        words["logits"] = "l of each number of x, whose density is proportional to exp(l x)"
    else:
        words["logits"] = "log-odds of each number of x to be 1"
    names = LIKELIHOOD_OUTPUTS[config.kind]
    is_coupled = config.kind == "discretized_logistic" and vae.image_shape[0] == 3
    return {name: words[name] for name in (*names, *(("coupling",) if is_coupled else ()))}


def _meaning_of_x(vae: VAE) -> str:
    if vae.unit_scale > 1:
        return f"levels, 0..{vae.unit_scale:.0f}"
    return "grey values, 0 is black and 1 is white" if vae.image_shape[0] == 1 else "colours, 0..1"


_FITS = {
    "stretch": "stretched to it",
    "crop": "cropped about the centre, then resized",
    "pad": "resized, then padded with the background",
}


def describe_preprocessing(image: ImageSpec) -> list[str]:
    """How a picture of 8 bits becomes x, a sentence for each step."""
    grey = image.channels == 1
    steps = [
        f"Transparent pixels are laid over the grey level {image.background} of 0..255.",
        "Colour becomes grey: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."
        if grey
        else "Channels are red, green, blue.",
        f"The size is {image.height} x {image.width} (height x width); a picture of another one is "
        f"{_FITS[image.fit]} by Pillow's {image.resample} kernel.",
    ]
    if image.binarization == "stochastic":
        steps.append("A pixel v of 0..255 becomes 1 with the probability v / 255, else 0.")
    elif image.binarization == "threshold":
        steps.append("A pixel v of 0..255 becomes 1 where v >= 128, else 0.")
    elif image.levels != 256:
        top = image.levels - 1
        steps.append(f"A pixel v of 0..255 becomes the level floor(v * {top} / 255 + 1/2).")
    if image.values == "unit":
        steps.append(f"x is the level divided by {image.levels - 1}, as float32.")
    else:
        steps.append("x is the level itself, as float32.")
    return [*steps, "Axes are (batch, channel, height, width)."]
