"""The signal of an utterance of a data directory, of the length that utt2dur says."""

import numpy as np

from salience.audio import TOLERANCE, change_speed, limit_band, read_audio
from salience.data.records import Utterance
from salience.errors import InputError


def read_utterance(
    utterance: Utterance, rate: int, speed: float | None = None, bandwidth: float | None = None
) -> np.ndarray:
    """Samples (samples,) float32 at `rate` Hz, played at `speed` and limited to `bandwidth` Hz if there is one.

    A signal that differs from the duration of the utterance by more than
    TOLERANCE is an InputError: what was trained on or scored would not be what
    the data directory says.  A duration of 0 is unknown.
    """
    samples = read_audio(utterance.audio, rate, utterance.start, utterance.end)
    if speed is not None:
        samples = change_speed(samples, rate, speed)
    seconds = len(samples) / rate
    if utterance.duration and abs(seconds - utterance.duration) > TOLERANCE:
        raise InputError(
            f"{utterance.audio}: the utterance {utterance.id} lasts {seconds:.2f} s, and {utterance.duration:.2f} s in"
            " utt2dur; prepare the data again if the file has changed, fetch it again if it is damaged, or correct"
            " utt2dur"
        )
    return samples if bandwidth is None else limit_band(samples, rate, bandwidth)
