"""Scale factors T of normals N(m, T T'), by row: matrices, or the diagonals of diagonal ones.

A matrix has an axis more than its normal's location. No row's bits depend on the others.
"""

import torch
from torch import Tensor


def times(factor: Tensor, vectors: Tensor, *, is_matrix: bool) -> Tensor:
    """T v, (..., latent)."""
    if not is_matrix:
        return factor * vectors
    return (factor * vectors.unsqueeze(-2)).sum(-1)


def transposed(factor: Tensor, *, is_matrix: bool) -> Tensor:
    """T'."""
    return factor.mT.contiguous() if is_matrix else factor


def inverses(factor: Tensor, *, is_matrix: bool) -> Tensor:
    """T^-1."""
    if not is_matrix:
        return factor.reciprocal()
    # One matrix after the other: a library may take another order for several.
    each = [matrix.clone().inverse() for matrix in factor.reshape(-1, *factor.shape[-2:])]
    return torch.stack(each).reshape(factor.shape)


def log_dets(factor: Tensor, *, is_matrix: bool) -> Tensor:
    """log |det T|, (...)."""
    if not is_matrix:
        return factor.abs().log().sum(-1)
    rows = factor.reshape(-1, *factor.shape[-2:])
    each = [matrix.clone().slogdet().logabsdet for matrix in rows]
    return torch.stack(each).reshape(factor.shape[:-2])


def variances(factor: Tensor, *, is_matrix: bool) -> Tensor:
    """The diagonal of T T', (..., latent)."""
    return factor.square().sum(-1) if is_matrix else factor.square()
