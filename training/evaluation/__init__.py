"""Evaluation: scores of trained models on held-out images."""
