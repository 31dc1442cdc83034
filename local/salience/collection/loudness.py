"""Loudness after ITU-R BS.1770, by pyloudnorm."""

import numpy as np

from salience.collection.spans import RATE


def loudness(samples: np.ndarray) -> float:
    """Integrated loudness in LUFS of mono samples (samples,); -inf when nothing passes the gates.

    At least 0.4 s, one block of the measure, are needed.
    """
    import pyloudnorm

    # log10 of the zeros of a silent block, which the gate then leaves out.
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(pyloudnorm.Meter(RATE).integrated_loudness(samples.astype(np.float64)))


def gain_to(target: float, samples: np.ndarray) -> tuple[float, float]:
    """The factor that brings `samples` to `target` LUFS, and their loudness then; (0, -inf) for what is too quiet.

    The measure's absolute gate lets more of a quiet signal pass once it is
    louder, hence a second look.
    """
    gain, reached = 1.0, loudness(samples)
    for _ in range(2):
        if not np.isfinite(reached):
            return 0.0, float("-inf")
        gain *= float(10 ** ((target - reached) / 20))
        reached = loudness(samples * gain)
    return gain, reached
