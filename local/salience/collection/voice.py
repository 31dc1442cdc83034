"""Where somebody speaks."""

import functools
from typing import Any

import numpy as np

from salience.collection.optional_models import load_pyannote, split_name
from salience.collection.spans import RATE, Span, join
from salience.errors import InputError

NAMES = ("silero", "pyannote")


def speech(samples: np.ndarray, name: str, threshold: float, pause: float) -> list[Span]:
    """The spans of `samples` with speech.

    name: `silero`, whose model lies in its package; or `pyannote`, or
    `pyannote:<pipeline>` with the name or path of another of its pipelines.
    threshold: the minimum probability of speech (silero).  pause: shorter
    silences, in seconds, do not part spans.  An unknown name is an InputError.
    """
    kind, model = split_name(name)
    if kind == "silero" and not model:
        spans = _silero(samples, threshold, pause)
    elif kind == "pyannote":
        spans = _pyannote(samples, model or "pyannote/voice-activity-detection")
    else:
        raise InputError(f"there is no voice activity detector {name}; --vad takes {' or '.join(NAMES)}")
    return [(start, end) for start, end in join(spans, round(pause * RATE)) if start < len(samples)]


@functools.cache
def _silero_model() -> Any:
    import silero_vad

    return silero_vad.load_silero_vad()


def _silero(samples: np.ndarray, threshold: float, pause: float) -> list[Span]:
    import silero_vad
    import torch

    model = _silero_model()
    model.reset_states()
    found = silero_vad.get_speech_timestamps(
        torch.from_numpy(samples),
        model,
        threshold=threshold,
        sampling_rate=RATE,
        min_silence_duration_ms=round(1000 * pause),
        speech_pad_ms=30,
    )
    return [(int(span["start"]), int(span["end"])) for span in found]


def _pyannote(samples: np.ndarray, model: str) -> list[Span]:
    import torch

    pipeline = load_pyannote(model, "voice activity detection", "--vad silero")
    found = pipeline({"waveform": torch.from_numpy(samples)[None], "sample_rate": RATE})
    return [
        (max(0, round(turn.start * RATE)), min(len(samples), round(turn.end * RATE)))
        for turn in found.get_timeline().support()
    ]
