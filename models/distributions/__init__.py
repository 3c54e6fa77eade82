"""Probability distributions whose draws are functions of given noise; they hold no network."""
