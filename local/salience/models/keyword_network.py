"""The recogniser of single words of the ImportantAug paper: 486,022 parameters with 35 words.

Depthwise-separable convolutions over time on a spectrogram in decibel, each
with a residual connection (the published code has them, the text omits them),
a mean over time and three dense layers.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import conv2d, selu

from salience.features import keywords


@dataclass(frozen=True)
class KeywordNetworkConfig:
    """Words and sizes.

    Args:
        words: The words, in the order of the outputs.
        window: Samples of the STFT's Hann window.
        hop: Samples between frames.
        blocks: Convolution blocks.
        kernel: Frames that a convolution sees.
    """

    words: tuple[str, ...]
    window: int = 512
    hop: int = 128
    blocks: int = 5
    kernel: int = 9


class _Block(nn.Module):
    """Two convolutions over time and a residual connection, (batch, frames, bins) to the same.

    Processors are fastest where the bins lie next to each other and time is the
    first axis of a two-dimensional convolution: with `nn.Conv1d` itself, the
    gradient of 257 filters is not vectorised, and a training step takes half as
    long again.
    """

    def __init__(self, bins: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(bins, bins, kernel, padding=kernel // 2, groups=bins)
        self.pointwise = nn.Conv1d(bins, bins, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep, point = self.depthwise, self.pointwise
        image = x.unsqueeze(2).permute(0, 3, 1, 2)  # (batch, bins, frames, 1) in the memory of (batch, frames, bins)
        image = conv2d(image, deep.weight.unsqueeze(3), deep.bias, padding=(deep.padding[0], 0), groups=deep.groups)
        image = conv2d(image, point.weight.unsqueeze(3), point.bias)
        return x + selu(image.permute(0, 2, 3, 1).squeeze(2))


class KeywordNetwork(nn.Module):
    """From magnitudes in decibel, (batch, bins, frames), to logits of the words."""

    def __init__(self, config: KeywordNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = bins = config.window // 2 + 1
        self.layer = f"convs.{config.blocks - 1}"  # what `feature_maps` gives
        self.convs = nn.ModuleList(_Block(bins, config.kernel) for _ in range(config.blocks))
        self.dense = nn.Sequential(
            nn.Linear(bins, bins), nn.SELU(), nn.Linear(bins, bins), nn.SELU(), nn.Linear(bins, len(config.words))
        )

    def forward(self, decibels: Tensor) -> Tensor:
        return self.logits(self.feature_maps(decibels))

    def feature_maps(self, decibels: Tensor) -> Tensor:
        """What the last convolution gives, (batch, bins as channels, 1, frames)."""
        x = decibels.transpose(1, 2).contiguous()
        for block in self.convs:
            x = block(x)
        return x.transpose(1, 2)[:, :, None]

    def logits(self, maps: Tensor) -> Tensor:
        """From the feature maps to the logits of the words."""
        return self.dense(maps[:, :, 0].transpose(1, 2).mean(dim=1))

    def decibels(self, waveforms: Tensor) -> Tensor:
        """What `forward` reads, from samples between -1 and 1, (batch, samples)."""
        return keywords.decibels_of(waveforms, self.config.window, self.config.hop)
