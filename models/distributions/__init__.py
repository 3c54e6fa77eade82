"""Probability distributions: log_prob, mean, draws from noise, and KL divergences.

from_noise       FromNoise, the base class of all
bernoulli        binary pixels, grey values in [0, 1]
discretized      integers 0..levels-1
normals          diagonal, full, mixtures
grouped          hierarchies of latents
one_hot          categorical latents
point            an autoencoder's points
kl               closed forms and log-ratios
batch_noise      noise of a batch
elementwise      functions whose bits do not depend on an element's place
expected_level   mean of a discretized logistic
"""
