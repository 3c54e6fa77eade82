"""The operations as they are declared: parameters, inputs, answers; pydantic only."""
