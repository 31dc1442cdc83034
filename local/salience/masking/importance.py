"""Noise where it does no harm: ImportantAug (Trinh, Salami Kavaki and Mandel, ICASSP 2022), section 2.

Spectra are complex, (batch, bins, frames).  A mask M of the same shape is 1
where noise does no harm and 0 at important points.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from salience.data.packed import Packed
from salience.errors import InputError
from salience.features.keywords import BINS, FRAMES, HOP, RATE, SAMPLES, WINDOW, decibels, spectra
from salience.randomness import generator


def batch_gain(speech: Tensor, noise: Tensor, snr: float) -> Tensor:
    """A of equation 3, one number: at it, a whole batch of noise has this signal-to-noise ratio in dB.

    Of the noise before it is masked, and with the frames of the padding, as
    the published code has it.
    """
    return (_energy(speech) / (_energy(noise) * 10 ** (snr / 10))).sqrt()


def _energy(spectrum: Tensor) -> Tensor:
    return spectrum.real.square().sum() + spectrum.imag.square().sum()


def mix(speech: Tensor, noise: Tensor, masks: Tensor | None, gain: Tensor) -> Tensor:
    """S + A N M, the argument of equation 4; without masks, noise is everywhere."""
    return speech + gain * (noise if masks is None else noise * masks)


def roll(masks: Tensor, axis: Literal["frequency", "time"], shift: int | Tensor) -> Tensor:
    """Equation 2: masks moved by `shift` bins or frames; what leaves at one end comes in at the other.

    `shift` is one number, or one for each mask, (batch,).
    """
    dimension = 1 if axis == "frequency" else 2
    if isinstance(shift, int):
        return masks.roll(shift, dims=dimension)
    size = masks.shape[dimension]
    source = (torch.arange(size, device=masks.device) - shift[:, None]) % size
    source = source[:, :, None] if axis == "frequency" else source[:, None]
    return masks.gather(dimension, source.expand_as(masks))


def binarise(masks: Tensor, percent: float, frames: Tensor) -> Tensor:
    """Section 3.2: no noise at the q % of an utterance's points where M is lowest, and all of it elsewhere.

    Exactly q % (to a point) of its own points: `frames` (batch,) is how many
    frames are its own.  The published code compares with a quantile of all
    frames, padding included, which spares too many or too few points where
    the mask is flat.
    """
    padding = torch.arange(masks.shape[2], device=masks.device) >= frames[:, None]
    points = masks.masked_fill(padding[:, None], float("inf")).flatten(1)
    spared = (frames * masks.shape[1] * percent / 100).round().long()
    lowest = points.topk(int(spared.max()), dim=1, largest=False).indices
    kept_clean = torch.arange(lowest.shape[1], device=masks.device) < spared[:, None]
    return torch.ones_like(points).scatter_(1, lowest, (~kept_clean).to(points.dtype)).view_as(masks)


def at_snr(waveforms: Tensor, noise: Tensor, snr: float) -> Tensor:
    """Noisy waveforms for a test set, (batch, samples): every utterance has this signal-to-noise ratio by itself.

    Noise must be zero where a clip has no samples of its own.  Where one of
    the two is digital silence, no noise is added: no gain reaches the ratio.
    """
    gain = (waveforms.square().sum(1) / (noise.square().sum(1) * 10 ** (snr / 10))).sqrt()
    return waveforms + noise * torch.nan_to_num(gain, posinf=0.0)[:, None]


@dataclass(frozen=True)
class Mixture:
    """One utterance with noise through its rolled mask; matrices are (bins, frames) from 0 Hz up.

    Args:
        noise: Name of the piece of noise.
        levels: Levels in dB of `clean`, `noise` and `mixture`.
        importance: 1 - M.
        rolled: The same, rolled.
        moved: How far, in words.
        snr: Signal-to-noise ratio in dB before masking.
        sounds: Waveforms (samples,): clean, importance (through the rolled mask), everywhere.
    """

    noise: str
    levels: dict[str, np.ndarray]
    importance: np.ndarray
    rolled: np.ndarray
    moved: str
    snr: float
    sounds: dict[str, np.ndarray]


def mixture(
    key: str, mask: np.ndarray, source: Packed, pieces: Packed, snr: float, shift: int = 30, seed: int = 1
) -> Mixture:
    """Mix one utterance with a random piece of noise through its rolled mask, as a training batch of one.

    Args:
        key: The utterance.
        mask: Its mask M (frames, bins).
        source: Packed signals of its set.
        pieces: Packed noise.
        snr: Signal-to-noise ratio in dB.
        shift: Masks are rolled by less than this many frames or bins.
        seed: Random seed of noise and roll.
    """
    if mask.shape != (FRAMES, BINS):
        raise InputError(
            f"the mask of {key} is {mask.shape[0]} x {mask.shape[1]}, not {FRAMES} x {BINS}; run the step that writes"
            " the masks again"
        )
    random = generator(seed, "figure", key)
    piece = int(random.integers(len(pieces)))
    axis = ("frequency", "time")[int(random.integers(2))]
    moved = int(random.integers(-shift, shift)) if shift else 0
    row = source.ids.index(key)
    speech = spectra(_waveform(source, row), torch.from_numpy(source.samples[[row]]))
    # A whole second, as in training: noise goes on where a shorter clip has ended.
    noise = spectra(_waveform(pieces, piece), torch.tensor([SAMPLES]))
    masks = torch.from_numpy(np.ascontiguousarray(mask.T))[None]
    rolled, gain = roll(masks, axis, moved), batch_gain(speech, noise, snr)
    mixed = {
        "clean": speech,
        "importance": mix(speech, noise, rolled, gain),
        "everywhere": mix(speech, noise, None, gain),
    }
    shown = {"clean": speech, "noise": gain * noise, "mixture": mixed["importance"]}
    window = torch.hann_window(WINDOW)
    return Mixture(
        noise=pieces.ids[piece],
        levels={name: decibels(spectrum)[0].numpy() for name, spectrum in shown.items()},
        importance=1 - masks[0].numpy(),
        rolled=1 - rolled[0].numpy(),
        moved=f"{moved:+d} bins ({moved * RATE / WINDOW:+,.0f} Hz)" if axis == "frequency" else f"{moved:+d} frames",
        snr=snr,
        sounds={
            name: torch.istft(spectrum, WINDOW, HOP, window=window, length=SAMPLES)[0].numpy()
            for name, spectrum in mixed.items()
        },
    )


def _waveform(source: Packed, row: int) -> Tensor:
    """One packed signal (1, samples) between -1 and 1."""
    samples = torch.from_numpy(np.array(source.rows(SAMPLES)[[row]]))
    return samples / 32768 if samples.dtype == torch.int16 else samples
