"""pythae's own trainer, on the same network and pictures.

    python with_pythae.py BATCH_SIZE THREADS SEED LOWEST PICTURES.npy [SCORED.npy]

The encoder takes pixels from LOWEST, 0 or -1, to 1.

It runs in an environment of its own, so it imports nothing of this project. Each line that it
reads asks for another epoch; it prints the epoch's seconds, and the ELBO of the scored pictures in
nats, with one draw a picture ("nan" without any).
"""

import logging
import sys
import tempfile
import time

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

PIXELS, HIDDEN, LATENTS = 784, 200, 50


class Encoder(BaseEncoder):
    """784-200-200, then location and log-variance."""

    def __init__(self, *, lowest: int) -> None:
        super().__init__()
        self.lowest = lowest
        self.body = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()
        )
        self.loc, self.log_variance = nn.Linear(HIDDEN, LATENTS), nn.Linear(HIDDEN, LATENTS)

    def forward(self, x: Tensor) -> ModelOutput:
        """q(z|x), as pythae names it."""
        x = x.flatten(1)
        hidden = self.body(2 * x - 1 if self.lowest else x)
        return ModelOutput(embedding=self.loc(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    """50-200-200-784, and a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(LATENTS, HIDDEN),
            nn.Tanh(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.Tanh(),
            nn.Linear(HIDDEN, PIXELS),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> ModelOutput:
        """Means of the pixels."""
        return ModelOutput(reconstruction=self.body(z).unflatten(1, (1, 28, 28)))


def elbo_nats(model: VAE, x: Tensor) -> float:
    """Mean ELBO of pictures in {0, 1}."""
    with torch.no_grad():
        q = model.encoder(x)
        z = q.embedding + torch.exp(0.5 * q.log_covariance) * torch.randn_like(q.embedding)
        means = model.decoder(z).reconstruction
        distortion = nn.functional.binary_cross_entropy(means, x, reduction="sum")
        variance = q.log_covariance.exp()
        rate = -0.5 * (1 + q.log_covariance - q.embedding.square() - variance).sum()
    return -float(distortion + rate) / len(x)


def main(numbers: list[int], pictures: str, scored: str = "") -> None:
    """Train an epoch for each line that comes."""
    logging.disable()
    batch_size, threads, seed, lowest = numbers
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(np.load(pictures))
    test = torch.from_numpy(np.load(scored)).to(device) if scored else None
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce")
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=batch_size,
        learning_rate=1e-3,
        num_epochs=1,
        seed=seed,
        no_cuda=device == "cpu",
    )
    torch.manual_seed(seed)
    model = VAE(config, encoder=Encoder(lowest=lowest), decoder=Decoder())
    unlabelled = BaseDataset(x, torch.zeros(len(x)))
    trainer = BaseTrainer(model, train_dataset=unlabelled, training_config=settings)
    trainer.prepare_training()
    if test is None:
        trainer.train_step(1)  # the first one is slower
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        trainer.train_step(1)
        seconds = time.perf_counter() - started
        print(seconds, "nan" if test is None else elbo_nats(model, test), flush=True)


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:5]], *sys.argv[5:])
