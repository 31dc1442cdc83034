"""Where there is music, alone or under speech: continuous frequency activation.

After Seyerlehner, Pohle, Schedl and Widmer, "Automatic Music Detection in
Television Productions" (DAFx 2007): tones of music hold their frequency for
longer than the voice does, so in a spectrogram they leave horizontal lines.
No model is needed.  Humming machines leave such lines too and count as music;
drums alone, and whoever raps over them, do not.

The speech and music detectors that bring a trained model either download it,
or keep it as a pickle of another scikit-learn.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, stft

from salience.collection.spans import RATE, Span, from_mask, join, seconds

WINDOW, HOP = 1472, 368
"""92 and 23 ms, as 1,024 and 256 samples are at the paper's 11,025 Hz."""
BINS = slice(28, 510)
"""From 0.3 to 5.5 kHz.  The paper begins at 0, where a mains hum and the pitch of a voice draw lines as well."""
NEIGHBOURS = 21
"""Bins of the running mean that a bin is held against."""
ABOVE_MEAN = 0.1
BLOCK = 112
"""Frames of a block: 2.6 s."""
STEP = 28
"""Frames between blocks: 0.64 s."""
STRONGEST = 5
SILENCE = -65.0
"""Blocks below this level (dB of full scale) hold nothing."""
GAP, SHORTEST = 1.3, 1.5
"""Seconds: pauses of music that are passed over, and what is too short to be music."""


def activation(samples: np.ndarray) -> np.ndarray:
    """The sum of the strongest peaks of frequency activation, for each block; float (blocks,)."""
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    found = []
    # A piece at a time: a day of sound needs no more memory than some minutes.
    frames = 1 + (len(samples) - WINDOW) // HOP
    starts = range(0, max(1, frames - BLOCK + 1), STEP)
    for first in range(0, len(starts), 256):
        own = starts[first : first + 256]
        part = samples[own[0] * HOP : (own[-1] + BLOCK - 1) * HOP + WINDOW]
        _, _, spectrum = stft(part, nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False)
        power = np.abs(spectrum[BINS]).astype(np.float64) ** 2
        level = 10 * np.log10(power + 1e-12)
        active = (level - uniform_filter1d(level, NEIGHBOURS, axis=0) > ABOVE_MEAN).astype(np.float64)
        for start in own:
            block = slice(start - own[0], start - own[0] + BLOCK)
            loud = 10 * np.log10(power[:, block].sum(axis=0).mean() + 1e-12) > SILENCE
            found.append(_strongest_peaks(active[:, block].mean(axis=1)) if loud else 0.0)
    return np.array(found)


def _strongest_peaks(curve: np.ndarray) -> float:
    """How far the highest peaks of a curve (bins,) rise above the valleys beside them, summed."""
    peaks, _ = find_peaks(curve)
    valleys, _ = find_peaks(-curve)
    edges = np.concatenate([[0], valleys, [len(curve) - 1]])
    right = np.searchsorted(edges, peaks)
    height = curve[peaks] - np.maximum(curve[edges[right - 1]], curve[edges[np.minimum(right, len(edges) - 1)]])
    return float(np.sort(height)[-STRONGEST:].sum())


def music(samples: np.ndarray, threshold: float) -> list[Span]:
    """The spans of `samples` where music plays: the mean activation of the blocks over them exceeds `threshold`."""
    score = activation(samples)
    steps = len(score) + BLOCK // STEP - 1
    total, count = np.zeros(steps), np.zeros(steps)
    for number, value in enumerate(score):
        total[number : number + BLOCK // STEP] += value
        count[number : number + BLOCK // STEP] += 1
    size = STEP * HOP
    spans = [(start * size, min(end * size, len(samples))) for start, end in from_mask(total / count > threshold)]
    # What is left behind the last block belongs to it.
    if spans and spans[-1][1] >= steps * size:
        spans[-1] = spans[-1][0], len(samples)
    return [span for span in join(spans, round(GAP * RATE)) if seconds(span) >= SHORTEST]
