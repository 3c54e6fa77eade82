"""Decoding by the autoencoder of Stable Diffusion 1.x: ours beside diffusers' on this processor.

The weights are random: 84 million of them, as many as of the real one. Each side decodes in a
process of its own, in turns, and both write their picture, so that they are compared. Not measured:
HTTP, the picture's file, a GPU, and batches, which neither side gains from here. It needs Linux and
diffusers.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from rich.table import Table

from benchmarks.timing import duration, table

CHANNELS = (128, 256, 512, 512)
_MAKE = """
import sys, torch
from diffusers import AutoencoderKL

folder, *channels = sys.argv[1:]
torch.manual_seed(0)
AutoencoderKL(
    block_out_channels=tuple(map(int, channels)),
    down_block_types=("DownEncoderBlock2D",) * len(channels),
    up_block_types=("UpDecoderBlock2D",) * len(channels),
    layers_per_block=2,
).save_pretrained(folder)
"""
_DECODE = """
import json, sys, time
from pathlib import Path
import numpy as np, torch

side, folder, size, threads, decodings, picture = sys.argv[1:]
torch.set_num_threads(int(threads))
if side == "diffusers":
    from diffusers import AutoencoderKL
else:
    from models.bundle.diffusers import read_diffusers

def memory(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

before = memory("VmRSS")
if side == "diffusers":
    model = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()
    count = len(model.config.block_out_channels)
    decode = lambda z: model.decode(z).sample / 2 + 0.5
else:
    vae = read_diffusers(Path(folder), height=int(size), width=int(size)).vae.freeze()
    count = len(vae.config.decoder.channels)
    decode = lambda z: vae.likelihood(z).mean
factor = 2 ** (count - 1)
shape = 1, 4, int(size) // factor, int(size) // factor
z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
clock = time.process_time if threads == "1" else time.perf_counter
Path("/proc/self/clear_refs").write_text("5")  # the largest so far is that of now
seconds = []
with torch.inference_mode():
    for _ in range(int(decodings) + 1):
        began = clock()
        made = decode(z)
        seconds.append(clock() - began)
np.save(picture, made.numpy())
print(json.dumps([seconds[1:], memory("VmHWM") - before]))
"""


def run(
    *,
    size: int = 256,
    rounds: int = 2,
    decodings: int = 2,
    threads: int = 1,
    channels: tuple[int, ...] = CHANNELS,
) -> Iterator[Table]:
    """Decode pictures of so many pixels a side, a few in each of some processes of both sides."""
    made = table(
        f"Decoding of {size} x {size}, {threads} thread{'s' if threads > 1 else ''}",
        "side",
        "time",
        "over diffusers",
        "memory",
        caption="time: median of a decoding after a first one; of one thread, the processor's. "
        "memory: the largest that the process held while it decoded, less what it held before "
        "it read the weights.",
    )
    seconds: dict[str, list[float]] = {"diffusers": [], "vae-serve": []}
    kilobytes: dict[str, list[int]] = {side: [] for side in seconds}
    with tempfile.TemporaryDirectory(prefix="vae-diffusers-") as place:
        folder = Path(place) / "vae"
        _python(_MAKE, str(folder), *map(str, channels))
        pictures = {side: Path(place) / f"{side}.npy" for side in seconds}
        for _ in range(rounds):
            for side, picture in pictures.items():
                asked = side, str(folder), str(size), str(threads), str(decodings), str(picture)
                took, held = json.loads(_python(_DECODE, *asked))
                seconds[side] += took
                kilobytes[side].append(held)
        first, second = (np.load(picture) for picture in pictures.values())
    for side, took in seconds.items():
        ratio = median(took) / median(seconds["diffusers"])
        memory = f"{median(kilobytes[side]) / 1024:,.0f} MiB"
        made.add_row(side, duration(median(took)), f"{ratio:.2f}", memory)
    made.add_row("largest difference of a pixel", f"{np.abs(first - second).max():.1e}", "", "")
    yield made


def _python(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
