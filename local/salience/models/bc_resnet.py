"""A small modern recogniser of single words: BC-ResNet (Kim et al., Interspeech 2021).

"Broadcasted Residual Learning for Efficient Keyword Spotting", table 1 and
section 2.  Most of a block works on one vector a frame, the mean over
frequency; its result is added to all frequencies.  The paper reads 40 mel
bands of windows of 30 ms every 10 ms; here they are made from the spectrogram
that the other recogniser reads, 32 ms every 8 ms, so that both can stand
behind the same noise and masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from salience.features import keywords

MELS = 40
SUB_BANDS = 5
"""Bands of the frequency axis that are normalised by themselves."""
DROPOUT = 0.1
FLOOR = 1e-6
"""Added to a band's power, so that frames of padding do not outweigh all else."""
SIZES = (1, 1.5, 2, 3, 6, 8)
"""The paper's: 9,232 parameters with tau 1 and 12 words to 321,068 with tau 8."""


@dataclass(frozen=True)
class BCResNetConfig:
    """Words and width.

    Args:
        words: The words, in the order of the outputs.
        tau: Channels in units of the smallest network's: 1, 1.5, 2, 3, 6 or 8.
    """

    words: tuple[str, ...]
    tau: float = 1.0


class _SubSpectralNorm(nn.Module):
    """Batch normalisation of each channel and sub-band; section 2.3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * SUB_BANDS)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, bands, frames = x.shape
        return self.norm(x.reshape(batch, channels * SUB_BANDS, bands // SUB_BANDS, frames)).view(x.shape)


class _Block(nn.Module):
    """Equation 3, y = x + f2(x) + BC(f1(mean over frequency of f2(x))), in a ReLU.

    The first block of a stage changes the channels by a convolution of its own
    before f2, and has no x (figure 2).
    """

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.transition = None
        if channels_in != channels:
            self.transition = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
        self.frequency = nn.Sequential(
            nn.Conv2d(channels, channels, (3, 1), (stride, 1), (1, 0), groups=channels, bias=False),
            _SubSpectralNorm(channels),
        )
        self.temporal = nn.Conv2d(
            channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation), groups=channels, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.dropout = nn.Dropout2d(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        planes = self.frequency(x if self.transition is None else self.transition(x))
        frames = self.norm(self.temporal(planes.mean(dim=2, keepdim=True)))
        y = planes + self.dropout(self.pointwise(silu(frames)))
        return torch.relu(y if self.transition is not None else x + y)


class BCResNet(nn.Module):
    """From magnitudes in decibel, (batch, 257, frames), to logits of the words."""

    filters: Tensor

    def __init__(self, config: BCResNetConfig) -> None:
        super().__init__()
        self.config = config
        base = round(8 * config.tau)
        self.head = nn.Sequential(nn.Conv2d(1, 2 * base, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(2 * base), nn.ReLU())
        blocks, channels_in = [], 2 * base
        # Table 1: channels, blocks, stride in frequency and dilation in time of the four stages.
        for channels, number, stride, dilation in (
            (base, 2, 1, 1),
            (base * 3 // 2, 2, 2, 2),
            (base * 2, 4, 2, 4),
            (base * 5 // 2, 4, 1, 8),
        ):
            for n in range(number):
                blocks.append(_Block(channels_in, channels, stride if n == 0 else 1, dilation))
                channels_in = channels
        self.blocks, self.channels = nn.Sequential(*blocks), channels_in
        self.layer = f"blocks.{len(blocks) - 1}"  # what `feature_maps` gives
        self.tail = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, 5, padding=(0, 2), groups=channels_in, bias=False),
            nn.Conv2d(channels_in, 4 * base, 1, bias=False),
            nn.BatchNorm2d(4 * base),
            nn.ReLU(),
        )
        self.dense = nn.Linear(4 * base, len(config.words))
        import librosa

        filters = librosa.filters.mel(sr=keywords.RATE, n_fft=keywords.WINDOW, n_mels=MELS, norm=None)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def forward(self, decibels: Tensor) -> Tensor:
        return self.logits(self.feature_maps(decibels))

    def feature_maps(self, decibels: Tensor) -> Tensor:
        """What the last block gives, (batch, channels, bands, frames)."""
        return self.blocks(self.head(self.log_mel(decibels)[:, None]))

    def logits(self, maps: Tensor) -> Tensor:
        """From the feature maps to the logits of the words."""
        return self.dense(self.tail(maps).mean(dim=(2, 3)))

    def log_mel(self, decibels: Tensor) -> Tensor:
        """Natural logarithm of the power in each mel band, (batch, 40, frames)."""
        # In full precision: bfloat16 has no room for the range of a power.
        with torch.autocast(decibels.device.type, enabled=False):
            return (self.filters @ (10 ** (decibels / 10)) + FLOOR).log()

    def decibels(self, waveforms: Tensor) -> Tensor:
        """What `forward` reads, from samples between -1 and 1, (batch, samples)."""
        return keywords.decibels_of(waveforms)
