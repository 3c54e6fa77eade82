"""A bundle's networks as ONNX files, which other runtimes run without this project.

    encoder.onnx      x [, y] -> parameters of q(z|x)
    decoder.onnx      z [, y] -> mean and parameters of p(x|z)
    classifier.onnx   x -> logits of q(y|x), of a model that has a classifier
    README.md         how a picture becomes x, and what the outputs mean

They read no pictures, draw nothing and score nothing. docs/other-runtimes.md shows their use.
"""

import json
import logging
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import jinja2
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.bundle.loading import Bundle, load_bundle
from models.bundle.parity import PARITY_TOLERANCE
from models.bundle.schema import PARITY
from models.errors import ConfigError, UnsupportedOperation
from models.files import check_new, new_folder
from models.vae.model import VAE
from models.vae.networks import Dense
from training.export.onnx_ports import Part, describe_preprocessing, parts_of

README = "README.md"
_TEMPLATE = Path(__file__).with_name("onnx.md.j2")
_LIBRARIES = ("onnx", "onnxruntime", "onnxscript")
_FEW = 3
"""Rows of a second check, of another batch size than that of the export."""


def export_onnx(path: Path, folder: Path) -> Path:
    """Write a bundle's networks as ONNX files, each held against the bundle's stored outputs.

    Args:
        path: The bundle's folder.
        folder: Folder to write; must not exist.

    Returns:
        The folder, which is written completely or not at all.

    Raises:
        BundleError: The bundle cannot be read.
        ConfigError: The folder exists, or a package that this needs is not installed.
        UnsupportedOperation: The model has no encoder, or onnxruntime computes other outputs than
            those stored in the bundle.
    """
    _check_installed()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of what it does not need
    check_new(folder, flag="--out")
    bundle = load_bundle(path)
    if bundle.config.vae.encoder is None:
        raise UnsupportedOperation(
            f"{bundle.name} is a mixture without an encoder: its posterior is computed from the "
            "likelihood of every component, which no network does. Serve it with vae serve.",
            parameter="bundle",
            received=str(path),
        )
    stored = load_file(path / PARITY)
    parts = parts_of(bundle.vae)
    files = {f"{part.name}.onnx": _export(part, bundle, stored) for part in parts}
    for part in parts:
        check_outputs(part, files[f"{part.name}.onnx"], stored, bundle.vae)
    with new_folder(folder) as new:
        for name, data in files.items():
            (new / name).write_bytes(data)
        (new / README).write_text(_describe(bundle, parts), encoding="utf-8")
    return folder


def check_outputs(part: Part, model: bytes, stored: dict[str, Tensor], vae: VAE) -> None:
    """Compare what onnxruntime computes with the outputs stored in the bundle.

    Outputs that a bundle does not store, such as logits, are compared with the model's own. All
    rows are compared, and the first few by themselves.

    Args:
        part: The network.
        model: Its ONNX file.
        stored: The tensors of parity.safetensors.
        vae: The bundle's model.

    Raises:
        UnsupportedOperation: An output differs by more than the format's tolerance.
    """
    runtime: Any = import_module("onnxruntime")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = part.inputs_of(stored, vae)
    names = [port.name for port in part.outputs]
    with torch.no_grad():
        own = dict(zip(names, part.compute(vae, *inputs), strict=True))
    wanted = {name: stored.get(part.stored[name], own[name]) for name in names}
    for rows in (len(inputs[0]), _FEW):
        given = {p.name: x[:rows].numpy() for p, x in zip(part.inputs, inputs, strict=True)}
        for name, got in zip(names, session.run(names, given), strict=True):
            want = wanted[name][:rows]
            limit = PARITY_TOLERANCE * (1 + float(want.abs().max()))
            worst = float((torch.from_numpy(got) - want).abs().max())
            if not worst <= limit:  # NaN too
                raise UnsupportedOperation(
                    f"{name} of {part.name}.onnx differs by {worst:.3g} from the bundle's, the "
                    f"limit is {limit:.3g}: nothing is written. Use another version of "
                    f"onnxruntime ({runtime.__version__}) or of torch ({torch.__version__})."
                )


def _export(part: Part, bundle: Bundle, stored: dict[str, Tensor]) -> bytes:
    """The part's ONNX file, with what its inputs and outputs are in its metadata."""
    onnx: Any = import_module("onnx")
    inputs = part.inputs_of(stored, bundle.vae)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        # torch warns of its own internals, and of training mode, for which `_plain` has a reason.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Graph(part, _plain(bundle.vae)),
            inputs,
            dynamo=True,
            dynamic_shapes=(tuple({0: batch} for _ in inputs),),
            input_names=[port.name for port in part.inputs],
            output_names=[port.name for port in part.outputs],
            custom_translation_table={torch.ops.aten.log_sigmoid.default: _log_sigmoid},
            verbose=False,
        )
    assert program is not None
    _rename_inner(program.model.graph, {port.name for port in (*part.inputs, *part.outputs)})
    model = program.model_proto
    for value, port in zip(
        (*model.graph.input, *model.graph.output), (*part.inputs, *part.outputs), strict=True
    ):
        value.doc_string = port.meaning
    model.doc_string = f"{part.about}, of {bundle.name}, version {bundle.version}."
    onnx.helper.set_model_props(model, _metadata(part, bundle))
    content: bytes = model.SerializeToString()
    return content


def _rename_inner(graph: Any, taken: set[str]) -> None:
    """Rename what nodes compute on the way under a name of the graph's own, such as a `mean`."""
    last = {id(value) for value in graph.outputs}
    for value in (value for node in graph for value in node.outputs):
        if value.name in taken and id(value) not in last:
            value.name = f"{value.name}_of_{value.producer().name}"


def _log_sigmoid(x: Any) -> Any:
    """min(x, 0) - log(1 + exp(-|x|)), with log(1 + y) = 2 atanh(y / (2 + y)).

    The exporter's own log(sigmoid(x)) is minus infinity from -18 on in onnxruntime: the scale of a
    normal, -log sigmoid(-raw), would be infinite.
    """
    op: Any = import_module("onnxscript").opset18
    zero, two = (op.CastLike(number, x) for number in (0.0, 2.0))
    y = op.Exp(op.Neg(op.Abs(x)))
    return op.Sub(op.Min(x, zero), op.Mul(two, op.Atanh(op.Div(y, op.Add(y, two)))))


class _Graph(nn.Module):
    """A part as the exporter takes it: a module whose parameters are the model's."""

    def __init__(self, part: Part, vae: VAE) -> None:
        super().__init__()
        self.vae, self._part = vae, part

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._part.compute(self.vae, *inputs)


def _plain(vae: VAE) -> VAE:
    """A copy in training mode but for dropout, with torch's own dense layers.

    In eval mode networks pad and split rows by their number, so that bits do not depend on
    neighbours; and on some processors `Dense` takes an operator that ONNX lacks.
    """
    copy = VAE(vae.config)
    copy.load_state_dict(vae.state_dict())
    copy.train().requires_grad_(False)
    for module in copy.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
        if isinstance(module, Dense):
            module.forward = partial(nn.Linear.forward, module)  # type: ignore[method-assign]
    return copy


def _metadata(part: Part, bundle: Bundle) -> dict[str, str]:
    config = bundle.config
    return {
        "model": config.name,
        "version": str(config.version),
        "part": part.name,
        "bundle_sha256": bundle.digest,
        "inputs": json.dumps([port.describe() for port in part.inputs]),
        "outputs": json.dumps([port.describe() for port in part.outputs]),
        "image": config.image.model_dump_json(),
        "preprocessing": json.dumps(describe_preprocessing(config.image)),
        "labels": json.dumps(config.labels),
    }


def _describe(bundle: Bundle, parts: list[Part]) -> str:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        config=bundle.config,
        image=bundle.config.image,
        parts=parts,
        steps=describe_preprocessing(bundle.config.image),
        digest=bundle.digest,
        tolerance=PARITY_TOLERANCE,
        kind=bundle.config.vae.posterior.kind,
        labelled=bundle.config.vae.num_labels > 0,
    )


def _check_installed() -> None:
    for name in _LIBRARIES:
        try:
            import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"export-onnx needs the extra onnx; {name} is not installed. Install it: "
                "pip install --constraint constraints.txt --editable '.[onnx]'"
            ) from error
