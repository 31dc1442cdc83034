"""The generator of importance maps of the ImportantAug paper: four small convolutions, 307 parameters."""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from salience.files import foreign, read_json
from salience.models.checkpoints import save

CHANNELS = (1, 2, 2, 2, 1)
KERNEL = 5
BLOCK = 8
"""Frames that the convolutions of a CPU take at once."""


class MaskGenerator(nn.Module):
    """Equation 1: from magnitudes in decibel, (batch, bins, frames), to the mask's logits of the same shape.

    The mask is their sigmoid.  Plain decibels, as the published code has
    them: no normalisation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(a, b, KERNEL, padding=KERNEL // 2) for a, b in zip(CHANNELS, CHANNELS[1:], strict=False)
        )

    def forward(self, decibels: Tensor) -> Tensor:
        layers = [self.conv1, self.conv2, self.conv3, self.conv4]
        if decibels.device.type == "cpu":
            return _in_blocks(decibels, layers)
        x = decibels[:, None]
        for layer in layers[:-1]:
            x = layer(x).relu()
        return layers[-1](x)[:, 0]


def _in_blocks(x: Tensor, layers: list[nn.Conv2d]) -> Tensor:
    """The same layers with blocks of frames as channels.

    A CPU's convolutions are made for tens of channels.  With one or two they
    take ten times as long as with eight frames of each as channels and, as
    kernels, the matrices that such a block and its neighbours are multiplied
    with, most of whose entries are zero.  Equal to rounding.
    """
    batch, bins, frames = x.shape
    blocks = -(-frames // BLOCK)
    x = functional.pad(x, (0, blocks * BLOCK - frames)).view(batch, bins, blocks, BLOCK).permute(0, 3, 1, 2)
    real = (frames > torch.arange(blocks * BLOCK).view(blocks, BLOCK).T).to(x.dtype)
    # Tap of the kernel between a frame of a block and a frame of the block before, itself or the one after.
    tap = torch.arange(3 * BLOCK) - BLOCK - torch.arange(BLOCK)[:, None] + KERNEL // 2
    within = (tap >= 0) & (tap < KERNEL)
    for position, layer in enumerate(layers):
        outputs, inputs = layer.weight.shape[:2]
        matrices = layer.weight[..., tap.clamp(0, KERNEL - 1)] * within
        kernel = matrices.view(outputs, inputs, KERNEL, BLOCK, 3, BLOCK).permute(0, 3, 1, 5, 2, 4)
        kernel = kernel.reshape(outputs * BLOCK, inputs * BLOCK, KERNEL, 3)
        x = functional.conv2d(x, kernel, layer.bias.repeat_interleave(BLOCK), padding=(KERNEL // 2, 1))
        if position < len(layers) - 1:
            # Frames that fill up the last block stay zero, as the padding of a convolution is.
            x = x.relu() * real.repeat(outputs, 1)[:, None]
    return x.permute(0, 2, 3, 1).reshape(batch, bins, blocks * BLOCK)[..., :frames]


def save_generator(model: MaskGenerator, folder: Path) -> None:
    """Write folder/model.safetensors and folder/config.json."""
    save(model, folder, {"channels": CHANNELS, "kernel": KERNEL})


def load_generator(folder: Path, device: str = "cpu") -> MaskGenerator:
    """Read what `save_generator` wrote."""
    config = read_json(folder / "config.json")
    with foreign(folder, "holds no mask generator that can be read", "train it again"):
        if config["channels"] != list(CHANNELS):
            raise ValueError("other channels than ours")
        model = MaskGenerator()
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    return model.to(device).eval()
