"""The variational autoencoder: networks, p(x|z), p(z), q(z|x) and the model of them."""
