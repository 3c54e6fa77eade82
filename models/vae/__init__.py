"""The variational autoencoder: networks, p(x|z), p(z), q(z|x) and the model of them.

model         VAE
parts         what a prior, a posterior and a likelihood are to it
likelihoods   p(x|z) by kind
priors        p(z) by kind
posteriors    q(z|x) by kind
hierarchy     priors and posteriors of groups of latents
networks      encoders and decoders by kind
"""

from models.vae.model import VAE

__all__ = ["VAE"]
