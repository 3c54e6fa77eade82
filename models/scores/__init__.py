"""Scores of images, ELBO and log p(x): every field once, with its type and its words.

An estimator in `models.estimators` fills a score for a batch; JSON, npz, CSV, OpenAPI and the
tables of docs/api.md derive their fields from it. torch-free, so that readers of answers need none.
"""
