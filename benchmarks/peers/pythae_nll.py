"""pythae's estimate of log p(x) by importance sampling, of random weights.

    python -m benchmarks.peers.pythae_nll THREADS

Each line that it reads, "IMAGES SAMPLES", asks for `get_nll` of random binary pictures; it prints
the seconds of the processor. pythae takes 100 draws at a time.
"""

import sys
import time

import torch
from pythae.models import VAE, VAEConfig

from benchmarks.peers.with_pythae import LATENTS, Decoder, Encoder


@torch.no_grad()
def main(threads: int) -> None:
    """Estimate for each line that comes."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(lowest=0), decoder=Decoder()).eval()
    clock = time.process_time if threads == 1 else time.perf_counter
    model.get_nll(torch.rand(1, 1, 28, 28).round(), n_samples=200)  # the first one is slower
    print("ready", flush=True)
    for line in sys.stdin:
        images, samples = map(int, line.split())
        x = torch.rand(images, 1, 28, 28).round()
        started = clock()
        model.get_nll(x, n_samples=samples)
        print(clock() - started, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
