"""Log-weights to numbers: bounds, importance sampling, label probabilities."""
