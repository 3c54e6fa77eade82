"""Studies over several trained models, and their plots."""
