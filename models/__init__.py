"""Variational autoencoders: distributions, networks, estimators, images and bundles.

`training` trains them and `app` serves them; `models` imports neither.

Axis letters used in every shape annotation, always in this order:

    sample          importance samples, K
    batch           data, N
    *event          what one datum or one latent is made of:
      channel height width   of an observation x
      latent                 of a latent z, L numbers
    label           classes of a label y

`torch.distributions` orders them the same way: `(sample, batch, *event)`.
"""

__version__ = "0.1.0"
