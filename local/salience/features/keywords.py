"""Spectra of clips of at most a second in batches, each as if its clip stood alone.

The ImportantAug paper takes the transform of every clip first and appends
frames of zeros to the shorter ones then (section 3.3 and its published code),
so that padding is exact silence.
"""

import torch
from torch import Tensor

from salience.data.packed import INT16

RATE = 16_000
SAMPLES = 16_000
"""A clip lasts a second at most."""
WINDOW = 512
HOP = 128
BINS = WINDOW // 2 + 1
FRAMES = 1 + SAMPLES // HOP
SHORTEST = WINDOW // 2 + 1
"""Samples below which a clip is too short to be reflected at its ends."""
AMPLITUDE_FLOOR = 1e-10
"""-200 dB: what digital silence becomes."""


def spectra(waveforms: Tensor, samples: Tensor) -> Tensor:
    """Short-time spectra, complex (batch, 257, 126).

    waveforms: (batch, 16000) between -1 and 1, each clip's own samples first;
    samples: (batch,) how many those are, at least `SHORTEST`.  A periodic Hann
    window of 512 samples every 128, centred, each clip reflected at its own
    two ends.  Frames behind a clip's last one are zero.
    """
    half = WINDOW // 2
    last = samples[:, None] - 1
    place = torch.arange(-half, SAMPLES + half, device=waveforms.device)[None]
    # Reflected at the first sample, then at the last; what that does not reach is cut off below.
    source = last - (last - place.abs()).abs()
    extended = waveforms.gather(1, source.clamp(min=0)) * (place < samples[:, None] + half)
    window = torch.hann_window(WINDOW, device=waveforms.device, dtype=waveforms.dtype)
    spectrum = torch.stft(extended, WINDOW, HOP, window=window, center=False, return_complex=True)
    return spectrum * real_frames(samples)[:, None]


def as_float(signals: Tensor) -> Tensor:
    """Samples between -1 and 1, whether they are kept as integers or not."""
    return signals / INT16 if signals.dtype == torch.int16 else signals


def decibels_of(waveforms: Tensor, window: int = WINDOW, hop: int = HOP) -> Tensor:
    """What keyword networks read of samples between -1 and 1, (batch, samples), each padded by reflection."""
    shape = torch.hann_window(window, device=waveforms.device)
    return decibels(torch.stft(waveforms, window, hop, window=shape, return_complex=True))


def real_frames(samples: Tensor) -> Tensor:
    """Which frames are a clip's own: (batch, 126), true or false."""
    return torch.arange(FRAMES, device=samples.device) <= torch.div(samples, HOP, rounding_mode="floor")[:, None]


def decibels(spectrum: Tensor) -> Tensor:
    """20 log10 of the magnitude, -200 at least, of the same shape.  What recogniser and generator read."""
    # Half the logarithm of the power: no root, whose gradient at zero is infinite.
    power = spectrum.real.square() + spectrum.imag.square()
    return 10 * power.clamp(min=AMPLITUDE_FLOOR**2).log10()
