"""Bytes to values and back: bodies, arrays, rendered answers; no HTTP framework."""
