"""Speech freed from the music beneath it, by a model that the user names."""

import numpy as np
import soxr

from salience.collection.optional_models import load_demucs, split_name
from salience.collection.spans import RATE, Span
from salience.errors import InputError

NAMES = ("none", "demucs")

AROUND = RATE // 2
"""Samples beside the music that are separated with it."""


def separate(samples: np.ndarray, music: list[Span], name: str) -> np.ndarray:
    """`samples` (samples,) with only the voice left where there is `music`.

    name: `none`, and all stays as it is (what lies over music is rejected
    later); `demucs`, or `demucs:<model>`.  An unknown name is an InputError.
    """
    kind, model = split_name(name)
    if kind not in NAMES or (kind == "none" and model):
        raise InputError(f"there is no separator {name}; --separator takes {' or '.join(NAMES)}")
    if kind == "none" or not music:
        return samples
    voice = samples.copy()
    for start, end in music:
        first, last = max(0, start - AROUND), min(len(samples), end + AROUND)
        voice[start:end] = _demucs(samples[first:last], model or "htdemucs")[start - first : end - first]
    return voice


def _demucs(samples: np.ndarray, name: str) -> np.ndarray:
    import torch

    model = load_demucs(name, "--separator none, which rejects speech over music")
    from demucs.apply import apply_model

    high = soxr.resample(samples, RATE, model.samplerate)
    mixture = torch.from_numpy(np.ascontiguousarray(np.broadcast_to(high, (model.audio_channels, len(high)))))
    # `shifts` draws at random, which would make each run another one.
    sources = apply_model(model, mixture[None], shifts=0)[0]
    voice = soxr.resample(sources[model.sources.index("vocals")].mean(dim=0).numpy(), model.samplerate, RATE)
    voice = voice[: len(samples)]
    return np.pad(voice, (0, len(samples) - len(voice))).astype(np.float32)
