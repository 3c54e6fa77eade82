"""What each operation does, in one sentence.

Plain words apart from the declarations, so that a list of commands needs no library.
"""

SUMMARIES = {
    "encode": "Encode images: mean and standard deviation of each approximate posterior.",
    "decode": "Decode latents into images.",
    "reconstruct": "Reconstruct images: encode each to its posterior mean, and decode that.",
    "sample": "Sample images: draw latents from the prior, and decode them.",
    "interpolate": "Interpolate between two images (their posterior means) or two latents.",
    "elbo": "Evidence lower bound (ELBO) of each image, in nats, with its parts and "
    "standard error.",
    "log-likelihood": "Log-likelihood log p(x) of each image by importance sampling, in nats, with "
    "its standard error, a lower confidence bound and intervals.",
    "anomaly": "Anomaly scores of each image, and a p-value with a known rate of false alarms.",
    "classify": "Classify images: probability of each label, or of each component of a mixture.",
}

INDEX = "Index pictures by their latents, for vae search; again, to bring the index up to date."
SEARCH = "Search an index for the pictures that are nearest to others, by their latents."
