"""What a mask keeps of an utterance, as sound."""

from pathlib import Path

import numpy as np
import torch

from salience.audio import write_audio
from salience.features.logmel import HOP, WINDOW, mel_filters
from salience.features.stft import istft, stft

PEAK = 0.9
"""Of audio that is written to be listened to: 50,000 times unit noise is beyond full scale."""


def write_scaled(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples (samples,) of any scale as audio of 24 bits, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, PEAK * samples / np.abs(samples).max(), rate, subtype="PCM_24")


def masked_audio(samples: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Silence the masked points of a log-mel spectrogram in the signal that it is of.

    Each bin of the short-time Fourier transform is attenuated by the share of
    the mel filters over it that are masked; phases stay, and the inverse
    transform gives the signal whose spectrum is nearest.  Bins that no mel
    filter covers are silenced.

    Args:
        samples: Signal at 16 kHz (samples,).
        keep: Mask (frames, mel bins) of its log-mel spectrogram, True where a point is kept.

    Returns:
        float32 samples (samples,)
    """
    filters = mel_filters(keep.shape[1]).numpy()
    cover = filters.sum(axis=0)
    gain = (keep @ filters) / np.where(cover > 0, cover, 1)
    spectrum = stft(torch.from_numpy(np.asarray(samples, dtype=np.float32))[None], WINDOW, HOP)
    # The transform has a frame more where the last one is centred at the very end.
    gain = np.pad(gain, ((0, max(0, spectrum.shape[1] - len(gain))), (0, 0)), mode="edge")[: spectrum.shape[1]]
    return istft(spectrum * torch.from_numpy(gain.astype(np.float32)), len(samples), WINDOW, HOP)[0].numpy()
