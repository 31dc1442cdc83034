"""Synthetic noise of several kinds, for the mini versions of corpora of noise."""

from pathlib import Path

import numpy as np

from salience.randomness import generator

KINDS = ("hum", "coloured", "clicks", "tones")


def noise(kind: str, seconds: float, rate: int, *names: object) -> np.ndarray:
    """Float samples of one of KINDS, (samples,), loudness and all drawn from `names`.

    hum: a mains frequency and its harmonics.  coloured: noise whose power
    falls with frequency.  clicks: short decaying bursts.  tones: a few steady
    sines that swell and fade.
    """
    random = generator("noise", kind, *names)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    if kind == "hum":
        base = random.uniform(45, 130)
        sound = sum(
            random.uniform(0.2, 1) / n * np.sin(2 * np.pi * (n * base * time + random.random())) for n in range(1, 12)
        )
    elif kind == "coloured":
        sound = _coloured(count, random.uniform(0, 2), random)
    elif kind == "clicks":
        struck = np.zeros(count)
        places = random.integers(0, count, size=max(1, round(seconds * random.uniform(4, 20))))
        struck[places] = random.uniform(0.3, 1, size=len(places))
        decay = np.exp(-np.arange(rate // 50) / random.uniform(0.001, 0.004) / rate)
        sound = np.convolve(struck, decay * random.standard_normal(len(decay)))[:count]
    elif kind == "tones":
        sound = sum(
            (1 + np.sin(2 * np.pi * (random.uniform(0.3, 3) * time + random.random())))
            * np.sin(2 * np.pi * random.uniform(200, 6000) * time)
            for _ in range(4)
        )
    else:
        raise ValueError(f"no noise of the kind {kind}")
    # A little of everything lies under each: no recording is silent anywhere.
    sound = sound / (np.abs(sound).max() or 1.0) + 0.01 * random.standard_normal(count)
    return (10 ** (random.uniform(-20, -6) / 20) * sound).astype(np.float64)


def _coloured(count: int, slope: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls as frequency to the power of `slope`."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    bins = np.maximum(np.arange(len(spectrum)), 1)
    return np.fft.irfft(spectrum * bins ** (-slope / 2), count)


def write_note(root: Path, corpus: str) -> None:
    """Write SYNTHETIC.txt: what this folder is."""
    (root / "SYNTHETIC.txt").write_text(
        f"This is not {corpus}. It is a small synthetic corpus in the same on-disk format, computed from\n"
        f"random numbers ({', '.join(KINDS)}). Nobody recorded it.\n",
        encoding="utf-8",
    )
