"""Products of rows and a dense layer's weights, by the library that is fast on this processor.

torch multiplies float32 matrices by MKL, which takes AVX2 kernels on processors that are not
Intel's. oneDNN, which torch brings for convolutions, takes AVX-512 wherever it is there: twice the
rate on an AMD processor that has it. No public function of torch reaches it for float32 with
gradients, so the operator is called that torch's own compiler emits.
"""

from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CPU_INFO = Path("/proc/cpuinfo")

_jit: Any = torch.jit

_SCRIPT = """
def product(rows: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    scalars: List[Optional[Union[int, float, complex]]] = []
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", scalars, "")
"""


def affine(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """rows @ weight.T + bias.

    Args:
        rows: (row, in_features).
        weight: (out_features, in_features).
        bias: (out_features,).

    Returns:
        (row, out_features), to float32's rounding the same by either library.
    """
    if not (onednn_is_faster() and _takes(rows) and _takes(weight)):
        return F.linear(rows, weight, bias)
    given = (rows, weight) if bias is None else (rows, weight, bias)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in given):
        apply: Any = _Affine.apply
        return cast(Tensor, apply(rows, weight, bias))
    return _product(rows, weight, bias)


@cache
def onednn_is_faster() -> bool:
    """Whether MKL leaves out the widest instructions of this processor, and oneDNN does not."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and "AuthenticAMD" in _vendor()
    )


def _vendor() -> str:
    """The line of Linux's description that names the processor's maker; empty elsewhere."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("vendor_id")), "")


def _takes(operand: Tensor) -> bool:
    """Whether the operator takes such numbers, and autocast would not make others of them."""
    return (
        operand.dtype == torch.float32
        and operand.device.type == "cpu"
        and operand.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if _jit.is_tracing():
        return cast(Tensor, _traceable_product()(rows, weight, bias))
    operator: Any = torch.ops.mkldnn._linear_pointwise
    return cast(Tensor, operator(rows, weight, bias, "none", [], ""))


@cache
def _traceable_product() -> Any:
    """The operator as a script: `torch.jit.trace` has no type for an empty list of scalars."""
    return _jit.CompilationUnit(_SCRIPT).product


class _Affine(torch.autograd.Function):
    """`_product` with its first derivatives."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(slope, weight.t(), None) if of_rows else None,
            _product(slope.t(), rows.t(), None) if of_weight else None,
            slope.sum(0) if of_bias else None,
        )
