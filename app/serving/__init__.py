"""Loaded models, the scheduler, and the life of the service."""
