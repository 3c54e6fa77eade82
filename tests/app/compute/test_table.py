"""The table of computations against the declared operations."""

from app.compute.table import COMPUTE
from app.operations.table import OPERATIONS


def test_every_operation_has_its_computation() -> None:
    assert COMPUTE.keys() == OPERATIONS.keys()
