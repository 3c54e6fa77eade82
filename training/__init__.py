"""How a VAE is made: data sets, recipes, the training loop, evaluation and export.

It imports `models` and never `app`.
"""
