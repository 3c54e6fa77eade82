"""Export: a run becomes a bundle, with its model card."""
