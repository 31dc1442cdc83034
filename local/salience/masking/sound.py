"""What a mask keeps of an utterance, as sound."""

import numpy as np
import torch

from salience.features.logmel import HOP, WINDOW, mel_filters
from salience.features.stft import istft, stft


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
