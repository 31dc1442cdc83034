"""Noise through a mask: the mixture of equation 2, and how much of it there is.

All signals are on the scale of 16-bit integers, as the paper gives its gains,
but in floating point: 50,000 times unit noise would not fit 16 bits.
"""

import numpy as np
import torch
from torch import Tensor

from salience.features.stft import istft, stft
from salience.randomness import generator

THRESHOLD = 0.5
"""A point counts as noise when its mask is above this (section 5 of the paper)."""


def white_noise(samples: int, *names: object) -> np.ndarray:
    """White Gaussian noise of unit variance, (samples,) float32, the same for the same names."""
    return generator("white noise", *names).standard_normal(samples, dtype=np.float32)


def masked_noise(noise: Tensor, mask: Tensor | None, window: int, hop: int) -> Tensor:
    """N masked by M, as signals (batch, samples): what equation 2 adds to the speech, before its gain.

    `mask` has the points of the noise's STFT, (batch, frames, bins); None lets
    all noise through.
    """
    if mask is None:
        return noise
    return istft(stft(noise, window, hop) * mask, noise.shape[-1], window, hop)


def gain_for(speech: np.ndarray, noise: np.ndarray, snr: float) -> float:
    """The gain at which `noise`, unmasked, has this signal-to-noise ratio in dB over the whole utterance."""
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    return float(np.sqrt(power / np.mean(np.square(noise, dtype=np.float64)) / 10 ** (snr / 10)))


def noise_proportion(mask: np.ndarray | Tensor) -> float:
    """Share of the points of a mask that are above the threshold, from 0 to 1."""
    return float((torch.as_tensor(mask) > THRESHOLD).float().mean())
