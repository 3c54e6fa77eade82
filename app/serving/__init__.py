"""Loaded models, the compute scheduler, readiness and draining."""
