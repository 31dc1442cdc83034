"""Kaldi's log-mel filter-bank energies in torch, for whole batches and with gradients.

What Kaldi's `compute-fbank-feats` calculates with 80 bins and no dither: 25 ms
frames every 10 ms that lie wholly inside the signal, each with its mean
removed, pre-emphasised and multiplied by Povey's window; the power spectrum of
512 points; triangular filters from 20 Hz to 8 kHz on the scale
1127 ln(1 + f / 700), triangular in mel rather than in hertz; the natural
logarithm, floored at the smallest float32 step.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

RATE = 16_000
HOP = 160
WINDOW = 400
BINS = 80
INT16 = 32_768.0
"""Kaldi's samples run from -32768 to 32767; multiply audio in [-1, 1) by this."""

_FFT = 512
_PREEMPHASIS = 0.97
_LOWEST = 20.0
_HIGHEST = RATE / 2
_FLOOR = float(np.finfo(np.float32).eps)


def num_frames(samples: int) -> int:
    """Frames that lie wholly inside the signal; 0 for one that is shorter than a window."""
    return 0 if samples < WINDOW else 1 + (samples - WINDOW) // HOP


def fbank(waveforms: Tensor) -> Tensor:
    """Log-mel energies, (batch, frames, 80), of 16 kHz signals (batch, samples) in int16 scale.

    Device and dtype are those of the input: float32, or float64 for a check of
    gradients.  Signals may be padded at their end: the first
    `num_frames(samples)` frames of each do not see the padding.  Equal to
    kaldi-native-fbank within 1e-3, but for bins 60 dB and more below the frame,
    where float32 rounds, in Kaldi too.  The gradient of a floored value is 0.
    """
    if waveforms.shape[-1] < WINDOW:
        return waveforms.new_zeros(len(waveforms), 0, BINS)
    window, filters = _constants(waveforms.dtype, waveforms.device)
    frames = waveforms.unfold(1, WINDOW, HOP)
    frames = frames - frames.mean(dim=2, keepdim=True)
    # What precedes a frame's first sample does not matter: the window is 0 there.
    frames = (frames - _PREEMPHASIS * frames.roll(1, dims=2)) * window
    spectrum = torch.fft.rfft(frames, _FFT)
    power = spectrum.real.square() + spectrum.imag.square()
    return (power @ filters).clamp(min=_FLOOR).log()


def fbank_of_audios(audios: Sequence[np.ndarray], device: str = "cpu") -> list[np.ndarray]:
    """The `fbank` of signals in [-1, 1), each float32 of shape (frames, 80).

    Signals of similar length make the best batches: all are padded to the longest.
    """
    if not audios:
        return []
    # In float64 what is stored depends on no batch and no device; beside a loud
    # rumble, float32 moves the weakest bins by up to 0.02.
    batch = torch.zeros(len(audios), max(len(audio) for audio in audios), dtype=torch.float64)
    for row, audio in zip(batch, audios, strict=True):
        row[: len(audio)] = torch.from_numpy(np.asarray(audio))
    with torch.no_grad():
        matrices = fbank(batch.to(device) * INT16).float().cpu().numpy()
    return [
        np.ascontiguousarray(matrix[: num_frames(len(audio))]) for matrix, audio in zip(matrices, audios, strict=True)
    ]


@cache
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Povey's window, (400,), and the filters, (257, 80)."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    edges = np.linspace(_mel(_LOWEST), _mel(_HIGHEST), BINS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    mel = _mel(np.arange(_FFT // 2 + 1) * RATE / _FFT)[:, None]
    rising = (mel - left) / (centre - left)
    falling = (right - mel) / (right - centre)
    filters = np.maximum(np.minimum(rising, falling), 0.0)
    # Tensors first made in inference mode could never take part in a gradient.
    with torch.inference_mode(False):
        return (torch.tensor(hann**0.85, dtype=dtype, device=device), torch.tensor(filters, dtype=dtype, device=device))


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
