"""Whether a clip is good enough, and if not, why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salience.collection.loudness import gain_to
from salience.collection.spans import RATE, Span, mask, near, overlap, seconds

FRAME = RATE // 50
"""20 ms."""
FULL_SCALE = 0.985
"""Samples from here on count as clipped; resampling moves them a little."""


@dataclass(frozen=True)
class Limits:
    """What a clip must keep to.

    shortest, longest: seconds.  music: the maximum share of it with music.
    speech: the minimum share with speech.  clipping: the maximum share of
    clipped samples.  snr: the minimum signal-to-noise ratio in dB.  loudness:
    LUFS that all clips are brought to; one whose samples would then pass full
    scale is rejected.
    """

    shortest: float = 3.0
    longest: float = 30.0
    music: float = 0.1
    speech: float = 0.5
    clipping: float = 0.001
    snr: float = 10.0
    loudness: float = -26.0


@dataclass(frozen=True)
class Measures:
    """What is measured of a clip: shares of 0 to 1, dB, and the factor that brings it to the wanted loudness.

    `loudness` (LUFS) and `peak` are those of the clip times `gain`.
    """

    gain: float
    loudness: float
    snr: float
    music: float
    speech: float
    clipping: float
    peak: float


def measure(
    samples: np.ndarray, clip: Span, speech: Sequence[Span], music: Sequence[Span], target: float, around: float = 0.3
) -> Measures:
    """Measure one clip of a recording's `samples`; `target` is the wanted loudness.

    The noise is that of the pauses in the clip and `around` seconds beside
    it; noise that falls silent whenever nobody speaks is not found.
    """
    own = samples[clip[0] : clip[1]]
    length = clip[1] - clip[0]
    reach = round(around * RATE)
    speech, music = (near(spans, clip[0] - reach, clip[1] + reach) for spans in (speech, music))
    # A block of the measure is 0.4 s.
    gain, level = gain_to(target, own) if seconds(clip) >= 0.4 else (0.0, float("-inf"))
    return Measures(
        gain=gain,
        loudness=level,
        snr=_snr(samples, clip, speech, music, reach),
        music=overlap(clip, music) / length,
        speech=overlap(clip, speech) / length,
        clipping=float(np.mean(np.abs(own) >= FULL_SCALE)),
        peak=gain * float(np.abs(own).max(initial=0)),
    )


def _snr(samples: np.ndarray, clip: Span, speech: Sequence[Span], music: Sequence[Span], reach: int) -> float:
    """Power of the speech over the median power of the pauses, in dB, -20 to 80."""
    first, last = max(0, clip[0] - reach), min(len(samples), clip[1] + reach)
    count = (last - first) // FRAME
    if count == 0:
        return -20.0
    part = samples[first : first + count * FRAME].reshape(count, FRAME)
    power = np.square(part, dtype=np.float64).mean(axis=1)

    def inside(spans: Sequence[Span]) -> np.ndarray:
        moved = [(max(0, s - first), min(count * FRAME, e - first)) for s, e in spans if e > first and s < last]
        return mask(moved, count * FRAME).reshape(count, FRAME).any(axis=1)

    voiced, played = inside(speech), inside(music)
    own = inside([clip])
    pauses = power[~voiced & ~played]
    spoken = power[voiced & own]
    if len(spoken) == 0:
        return -20.0
    # Too few pauses to judge by: the quietest moments of the clip stand for them.
    noise = float(np.median(pauses)) if len(pauses) * FRAME >= 0.2 * RATE else float(np.percentile(power[own], 5))
    signal = max(float(spoken.mean()) - noise, 1e-12)
    return float(np.clip(10 * np.log10(signal / max(noise, 1e-12)), -20, 80))


def rejection(clip: Span, found: Measures, limits: Limits) -> tuple[str, str] | None:
    """None for a good clip, else why it is rejected, in a word and in a sentence that says how far off it is."""
    length = seconds(clip)
    if found.music > limits.music:
        return "music", f"there is music in {100 * found.music:.0f} % of it, more than {100 * limits.music:g} %"
    if length < limits.shortest:
        return "short", f"it lasts {length:.2f} s, less than {limits.shortest:g}"
    if length > limits.longest:
        return "long", f"it lasts {length:.2f} s, more than {limits.longest:g}, and cannot be cut"
    if found.speech < limits.speech:
        return "speech", f"{100 * found.speech:.0f} % of it is speech, less than {100 * limits.speech:g} %"
    if found.clipping > limits.clipping:
        clipped, most = 100 * found.clipping, 100 * limits.clipping
        return "clipping", f"{clipped:.2f} % of its samples are clipped, more than {most:g} %"
    if not np.isfinite(found.loudness):
        return "loudness", "it is too quiet for its loudness to be measured"
    if found.peak >= 1:
        return "loudness", f"at {limits.loudness:g} LUFS its peak would be {found.peak:.2f} of full scale"
    if found.snr < limits.snr:
        return "snr", f"its signal-to-noise ratio is {found.snr:.1f} dB, less than {limits.snr:g}"
    return None
