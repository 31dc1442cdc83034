"""Smooth bumps over time and over the ear's frequency scale: a grid of them draws a surface of bounded resolution."""

import numpy as np

from salience.features.fbank import RATE


def bumps(places: np.ndarray, width: float) -> np.ndarray:
    """Raised cosines of full width `width`, one at every half of it from 0 on, at these places.

    Everywhere they add up to one, so that a sum of weighted bumps has no value
    beyond those of its weights.  Their modulation spectrum is zero at multiples
    of 1 / width from 2 / width on, and more than 31 dB down between those.

    Args:
        places: (places,), none negative, in the unit of the width

    Returns:
        float32 (places, bumps)
    """
    centres = np.arange(int(places.max() / (width / 2)) + 2)
    distances = places[:, None] / (width / 2) - centres
    return np.square(np.cos(np.pi / 2 * distances.clip(-1, 1))).astype(np.float32)


def erb_numbers(bins: int) -> np.ndarray:
    """ERB numbers (Cams) of so many bins from 0 Hz to half the sampling rate, (bins,) (Glasberg and Moore, 1990)."""
    return 21.4 * np.log10(1 + 0.00437 * np.linspace(0, RATE / 2, bins))


def over_frequency(bins: int, erb: float) -> np.ndarray:
    """Bumps `erb` ERB wide over the bins, (bins, bumps); for a width of 0, one of each bin."""
    return bumps(erb_numbers(bins), erb) if erb else np.eye(bins, dtype=np.float32)


def over_time(frames: int, hop: int, seconds: float) -> np.ndarray:
    """Bumps that last `seconds` over the frames, (frames, bumps); for 0, one of each frame."""
    return bumps(np.arange(frames) * hop / RATE, seconds) if seconds else np.eye(frames, dtype=np.float32)
