"""Noise through a mask: the mixture of equation 2, and how much of it there is.

All signals are on the scale of 16-bit integers, as the paper gives its gains,
but in floating point: 50,000 times unit noise would not fit 16 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from salience.errors import RERUN, InputError
from salience.features.bumps import over_frequency, over_time
from salience.features.fbank import INT16
from salience.features.stft import HOP, istft, stft
from salience.masking.bands import Condition
from salience.models.mask_estimator import MaskEstimatorSizes
from salience.randomness import generator

THRESHOLD = 0.5
"""A point counts as noise when its mask is above this (section 5 of the paper)."""


@dataclass(frozen=True)
class NoiseSettings:
    """What is added to the speech, on the scale of 16-bit samples.

    Args:
        gain: alpha of equation 2, of noise of unit variance
        dither: standard deviation of the white noise added to every utterance first, for the estimator and for the
            recogniser alike
        rise: updates over which the gain rises in training, by equal factors, from that of the dither to its full
            value; 0 starts with the full gain.  Noise of the full gain drowns all speech while the masks are still
            near one half, and a recogniser that gets nothing of it cannot say what it would have needed.  The paper
            does not say how it avoids this.
    """

    gain: float = 50_000.0
    dither: float = 6.25
    rise: int = 0


@dataclass(frozen=True)
class NoiseLevels:
    """Levels of the noise before the mask, drawn for every band and moment, which smooth bumps are.

    So the level in a band says little about the mask, and nothing that a mask could write into it is read for certain.

    Args:
        decibels: how far they are from that of white noise at most, either way; 0 leaves it white
        erb: width of a band, in ERB
        seconds: length of a moment
    """

    decibels: float = 0.0
    erb: float = 2.0
    seconds: float = 0.1

    def __post_init__(self) -> None:
        if min(self.decibels, self.erb, self.seconds) < 0:
            raise InputError(f"decibels, erb and seconds of the noise's levels cannot be negative; correct {self}")

    def gains(self, frames: int, bins: int, hop: int, *names: object) -> Tensor:
        """Factors of amplitude (frames, bins) as float32, the same for the same names."""
        along, across = over_time(frames, hop, self.seconds), over_frequency(bins, self.erb)
        sizes = along.shape[1], across.shape[1]
        drawn = generator("noise levels", *names).uniform(-self.decibels, self.decibels, sizes)
        return torch.from_numpy(10 ** (along @ drawn.astype(np.float32) @ across.T / 20))

    def of(self, noise: np.ndarray, *names: object) -> np.ndarray:
        """The noise (samples,) at these levels."""
        if not self.decibels:
            return noise
        spectrum = stft(torch.from_numpy(noise)[None])
        return istft(spectrum * self.gains(*spectrum.shape[1:], HOP, *names), len(noise))[0].numpy()


def white_noise(samples: int, *names: object) -> np.ndarray:
    """White Gaussian noise of unit variance, (samples,) float32, the same for the same names."""
    return generator("white noise", *names).standard_normal(samples, dtype=np.float32)


def dithered(signal: np.ndarray, dither: float, *names: object) -> np.ndarray:
    """A signal with white noise of standard deviation `dither`, the same for the same names."""
    return signal + np.float32(dither) * generator("dither", *names).standard_normal(len(signal), dtype=np.float32)


def amplitude(mask: Tensor, depth: float) -> Tensor:
    """By what the noise is multiplied at each point of a mask, from 0 to 1.

    By M itself, as in equation 2, where `depth` is 0.  What a recogniser gets,
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


def mixture(
    key: str,
    signal: np.ndarray,
    condition: Condition,
    noise: NoiseSettings,
    mask: np.ndarray | None = None,
    sizes: MaskEstimatorSizes | None = None,
    snr: Sequence[float] = (),
    other: np.ndarray | None = None,
) -> np.ndarray:
    """Speech with noise as in equation 2, (samples,) on the scale of 16-bit integers, the same for the same names.

    Args:
        key: id of the utterance
        signal: its samples (samples,) at 16 kHz, between -1 and 1
        condition: the noise realisation, and what stands in a band, or everywhere, instead of the speech
        noise: gains of noise and dither
        mask: noise mask (frames, bins); None lets all noise through
        sizes: STFT and scale of the mask
        snr: instead of the gain, the two ends of a range of signal-to-noise ratios in dB, or one ratio, of the noise
            before the mask
        other: another utterance's samples, which are repeated or cut to the length of the signal
    """
    clean = dithered(INT16 * signal, noise.dither, "evaluation", key)
    realisation, replaced = condition.realisation, condition.replaced
    white = white_noise(len(clean), "evaluation", key, realisation)
    gain = noise.gain
    if snr:
        gain = gain_for(clean, white, float(generator("snr", key, realisation).uniform(min(snr), max(snr))))
    if replaced:
        instead = np.resize(other, len(signal)) if other is not None else np.zeros_like(signal)
        clean = replaced.speech(clean, dithered(INT16 * instead, noise.dither, "evaluation", key))
    if mask is not None and sizes is not None:
        if mask.shape[0] != (frames := 1 + len(white) // sizes.hop):
            raise InputError(f"the mask of {key} has {mask.shape[0]} frames but its audio has {frames}; {RERUN}")
        through = torch.tensor(replaced.mask(mask) if replaced else mask)[None]
        white = masked_noise(torch.from_numpy(white)[None], through, sizes.window, sizes.hop, sizes.depth)[0].numpy()
    return clean + gain * white


def snr_range(text: str) -> list[float]:
    """The ratios in dB of `mixture` from text: none, one, or the two ends of a range."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = [0.0] * 3
    if len(numbers) > 2:
        raise InputError(f"--snr takes one number or the two ends of a range, not {text!r}")
    return numbers


def gain_for(speech: np.ndarray, noise: np.ndarray, snr: float) -> float:
    """The gain at which `noise`, unmasked, has this signal-to-noise ratio in dB over the whole utterance."""
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    return float(np.sqrt(power / np.mean(np.square(noise, dtype=np.float64)) / 10 ** (snr / 10)))


def noise_proportion(mask: np.ndarray | Tensor) -> float:
    """Share of the points of a mask that are above the threshold, from 0 to 1."""
    return float((torch.as_tensor(mask) > THRESHOLD).float().mean())
