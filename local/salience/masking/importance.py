"""Noise where it does no harm: ImportantAug (Trinh, Salami Kavaki and Mandel, ICASSP 2022), section 2.

Spectra are complex, (batch, bins, frames).  A mask M of the same shape is 1
where noise does no harm and 0 at important points.
"""

from typing import Literal

import torch
from torch import Tensor


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
