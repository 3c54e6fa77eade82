"""Runs: their folders, checkpoints and provenance."""
