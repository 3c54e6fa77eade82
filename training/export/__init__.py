"""A run as a bundle, with its card."""
