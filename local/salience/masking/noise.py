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


def amplitude(mask: Tensor, depth: float) -> Tensor:
    """By what the noise is multiplied at each point of a mask, from 0 to 1.

    By M itself, as in equation 2, where `depth` is 0.  What a recogniser hears,
    however, goes with the logarithm of the noise, and that has further to go
    from 0 to 0.01 than from there to 1.  So a mask can count decibels: from
    `depth` of them below the full noise, where M is 0, up to it, where M is 1.
    """
    return 10 ** (depth / 20 * (mask - 1)) if depth else mask


def masked_noise(noise: Tensor, mask: Tensor | None, window: int, hop: int, depth: float = 0.0) -> Tensor:
    """N masked by M, as signals (batch, samples): what equation 2 adds to the speech, before its gain.

    `mask` has the points of the noise's STFT, (batch, frames, bins); None lets
    all noise through.  `depth` is that of `amplitude`.
    """
    if mask is None:
        return noise
    return istft(stft(noise, window, hop) * amplitude(mask, depth), noise.shape[-1], window, hop)


def gain_for(speech: np.ndarray, noise: np.ndarray, snr: float) -> float:
    """The gain at which `noise`, unmasked, has this signal-to-noise ratio in dB over the whole utterance."""
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    return float(np.sqrt(power / np.mean(np.square(noise, dtype=np.float64)) / 10 ** (snr / 10)))


def noise_proportion(mask: np.ndarray | Tensor) -> float:
    """Share of the points of a mask that are above the threshold, from 0 to 1."""
    return float((torch.as_tensor(mask) > THRESHOLD).float().mean())
