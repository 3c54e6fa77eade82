"""pythae's own trainer, on the same network and pictures; prints images a second of an epoch.

    python with_pythae.py PICTURES.npy BATCH_SIZE

It runs in an environment of its own, so it imports nothing of this project. Each line that it
reads asks for another epoch.
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

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()
        )
        self.loc, self.log_variance = nn.Linear(HIDDEN, LATENTS), nn.Linear(HIDDEN, LATENTS)

    def forward(self, x: Tensor) -> ModelOutput:
        """q(z|x), as pythae names it."""
        hidden = self.body(x.flatten(1))
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


def main(pictures: str, batch_size: str) -> None:
    """Train an epoch for each line that comes."""
    logging.disable()
    torch.set_num_threads(int(sys.argv[3]))
    x = torch.from_numpy(np.load(pictures))
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce")
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=int(batch_size),
        learning_rate=1e-3,
        num_epochs=1,
        no_cuda=not torch.cuda.is_available(),
    )
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    unlabelled = BaseDataset(x, torch.zeros(len(x)))
    trainer = BaseTrainer(model, train_dataset=unlabelled, training_config=settings)
    trainer.prepare_training()
    trainer.train_step(1)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        trainer.train_step(1)
        print(len(x) / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
