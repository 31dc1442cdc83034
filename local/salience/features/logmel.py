"""Whisper's log-mel spectrogram, for the real frames only.

Radford et al. (2022), section 2.2, as openai-whisper computes it: 25 ms Hann
windows every 10 ms, 80 mel bins (128 for large-v3 and turbo), log10 with a floor 8 below the utterance's
maximum, then (x + 4) / 4.  openai-whisper pads every utterance to 30 s first;
here the frames that lie in that padding are neither computed nor stored.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

RATE = 16_000
HOP = 160
WINDOW = 400
BINS = 80
FRAME_SHIFT = HOP / RATE
"""Seconds between frames."""
FRAMES_30S = 3000
"""Frames of Whisper's 30-second context."""

SILENCE = -1.5
"""What digital silence becomes: (log10(1e-10) + 4) / 4."""
DYNAMIC_RANGE = 2.0
"""The floor lies 8 / 4 below the maximum."""


def num_frames(samples: int) -> int:
    """Frames that contain signal: ceil(samples / 160)."""
    return -(-samples // HOP)


@cache
def mel_filters(bins: int = BINS, device: torch.device | str = "cpu") -> torch.Tensor:
    """Whisper's mel filters (bins, WINDOW / 2 + 1); openai-whisper ships those of librosa.filters.mel as data."""
    from whisper import audio

    return audio.mel_filters(device, bins)


def bin_centres(bins: int = BINS) -> np.ndarray:
    """The mean frequency of each filter in hertz, (bins,)."""
    filters = mel_filters(bins).cpu().numpy().astype(np.float64)
    return filters @ np.linspace(0, RATE / 2, filters.shape[1]) / filters.sum(axis=1)


def frame_levels(features: np.ndarray) -> np.ndarray:
    """How loud each frame of log-mel features (frames, bins) is, in dB."""
    return 10 * np.log10(np.power(10.0, 4 * features.astype(np.float64) - 4).sum(axis=1))


def log_mel(audios: Sequence[np.ndarray], bins: int = BINS, device: str = "cpu") -> list[np.ndarray]:
    """Log-mel spectrograms of 16 kHz signals, each float32 of shape (frames, bins).

    Signals last at most 30 s.  Those of similar length make the best batches:
    all are padded to the longest.  Equal to openai-whisper's on the 30-second
    padded signal within 1e-4.
    """
    if not audios:
        return []
    samples = [len(audio) for audio in audios]
    batch = torch.zeros(len(audios), max(samples))
    for row, audio in zip(batch, audios, strict=True):
        row[: len(audio)] = torch.from_numpy(np.asarray(audio, dtype=np.float32))
    matrices = log_mel_tensors(batch.to(torch.device(device)), samples, bins)
    return [np.ascontiguousarray(matrix.cpu().numpy()) for matrix in matrices]


def log_mel_tensors(signals: torch.Tensor, samples: Sequence[int], bins: int = BINS) -> list[torch.Tensor]:
    """The same with a gradient: signals (batch, samples) with so many `samples` each, zeros beyond."""
    # The window of the last real frame reaches 200 samples into the padding, which is zeros
    # for Whisper; two frames more keep the reflection that STFT adds out of sight.  At 30 s
    # there is no padding: Whisper's last window sees the reflection, so ours must too.
    longest = min(num_frames(max(samples)) + 2, FRAMES_30S)
    padded = torch.nn.functional.pad(signals, (0, min(longest * HOP + WINDOW, FRAMES_30S * HOP) - signals.shape[1]))
    window = torch.hann_window(WINDOW, device=signals.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)
    power = spectrum[..., :longest].abs().square()
    logs = (mel_filters(bins, signals.device) @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax(dim=(1, 2), keepdim=True) - 8.0)
    scaled = ((logs + 4.0) / 4.0).transpose(1, 2)
    return [matrix[: num_frames(count)] for matrix, count in zip(scaled, samples, strict=True)]


def floor_of(features: np.ndarray) -> float:
    """The value that Whisper's padding takes beside these features: their own floor."""
    return max(float(features.max()) - DYNAMIC_RANGE, SILENCE)


def pad_frames(features: np.ndarray, frames: int, value: float) -> np.ndarray:
    """Cut or extend (frames, bins) to `frames` rows, extending by `value`."""
    padded = np.full((frames, features.shape[1]), value, dtype=np.float32)
    padded[: len(features)] = features[:frames]
    return padded
