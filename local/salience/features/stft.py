"""The short-time Fourier transform of batches and its inverse, both with gradients.

Periodic Hann windows, centred: frame t looks at `size` samples around sample
t * hop.  Outside the signal are zeros rather than its reflection, so that
padding a signal to the longest of a batch changes none of its frames.
"""

import torch
from torch import Tensor

SIZE = 1024
HOP = 256


def num_frames(samples: int, hop: int = HOP) -> int:
    """Frames whose centre lies in the signal or just at its end: 1 + samples // hop."""
    return 1 + samples // hop


def stft(waveforms: Tensor, size: int = SIZE, hop: int = HOP) -> Tensor:
    """Spectra of signals (batch, samples): complex, (batch, frames, size // 2 + 1)."""
    window = torch.hann_window(size, dtype=waveforms.dtype, device=waveforms.device)
    spectrum = torch.stft(waveforms, size, hop, window=window, pad_mode="constant", return_complex=True)
    return spectrum.transpose(1, 2)


def istft(spectrum: Tensor, samples: int, size: int = SIZE, hop: int = HOP) -> Tensor:
    """Signals (batch, samples) from spectra (batch, frames, size // 2 + 1).

    Undoes `stft` of the same `size` and `hop`; exact to rounding where the hop
    is at most a quarter of the size.  Of an altered spectrum, it is the signal
    whose spectrum is nearest in the least-squares sense (Griffin and Lim,
    1984).
    """
    window = torch.hann_window(size, dtype=spectrum.real.dtype, device=spectrum.device)
    return torch.istft(spectrum.transpose(1, 2), size, hop, window=window, length=samples)
