"""Declarations of the operations: parameters, inputs, answers; pydantic and scores only."""
