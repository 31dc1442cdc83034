"""Where to mask: the paper's probabilistic policy, equal-area controls, SpecAugment.

Every function returns M of the paper's equation 3 as a boolean array of shape
(frames, bins): True keeps a point, False masks it.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ProbabilisticPolicy:
    """Equations 1 and 2 of Sameti et al. (2025), read so that they agree with the prose.

    With C the map scaled to [0, 1]: a point with C <= `low` is never masked;
    one with C > `high` always is; for `middle` < C <= `high` it is masked with a
    probability drawn from `middle_rate`, for `low` < C <= `middle` with one
    drawn from `low_rate`.

    The printed equation compares R > U(...), which would mask the highest
    scores never and the lowest nearly always, against the prose; `literal`
    takes it as printed.

    Args:
        low: Threshold T of equation 1.
        middle: Border between seldom and mostly masked points.
        high: Border above which every point is masked.
        middle_rate: Interval of the masking probability of the middle band.
        low_rate: Interval of the masking probability of the low band.
        per_point: Draw the two probabilities for every point instead of once an utterance;
            the mask is then Bernoulli with the intervals' means.
        literal: Equation 2 as printed.
    """

    low: float = 0.3
    middle: float = 0.5
    high: float = 0.7
    middle_rate: tuple[float, float] = (0.7, 0.9)
    low_rate: tuple[float, float] = (0.0, 0.05)
    per_point: bool = False
    literal: bool = False

    def mask(self, saliency: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """M for one map C in [0, 1] of shape (frames, bins)."""
        size = saliency.shape if self.per_point else None
        middle_rate = rng.uniform(*self.middle_rate, size=size)
        low_rate = rng.uniform(*self.low_rate, size=size)
        # R is uniform over (0, 1].
        chance = 1.0 - rng.random(saliency.shape)
        rate = np.where(saliency > self.high, 1.0, np.where(saliency > self.middle, middle_rate, low_rate))
        masked = chance > rate if self.literal else chance <= rate
        return ~(masked & (saliency > self.low))


@dataclass(frozen=True)
class SpecAugmentPolicy:
    """Time and frequency masks of Park et al. (2019), without warping.

    Args:
        time_masks: Number of time masks.
        time_width: Longest time mask in frames.
        time_share: Longest time mask as a share of the utterance.
        frequency_masks: Number of frequency masks.
        frequency_width: Widest frequency mask in bins.
    """

    time_masks: int = 2
    time_width: int = 100
    time_share: float = 0.05
    frequency_masks: int = 2
    frequency_width: int = 27

    def mask(self, frames: int, bins: int, rng: np.random.Generator) -> np.ndarray:
        """M for one utterance."""
        keep = np.ones((frames, bins), dtype=bool)
        longest = min(self.time_width, int(self.time_share * frames))
        for _ in range(self.time_masks):
            width = rng.integers(longest + 1)
            start = rng.integers(frames - width + 1)
            keep[start : start + width] = False
        for _ in range(self.frequency_masks):
            width = rng.integers(min(self.frequency_width, bins) + 1)
            start = rng.integers(bins - width + 1)
            keep[:, start : start + width] = False
        return keep

    def spans(self, count: int, frames: int, bins: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The masks of many utterances of one length at once: which frames (count, frames) and bins (count, bins) are kept."""
        longest = min(self.time_width, int(self.time_share * frames))
        return (
            _spared(count, frames, self.time_masks, longest, rng),
            _spared(count, bins, self.frequency_masks, min(self.frequency_width, bins), rng),
        )


def _spared(count: int, size: int, masks: int, longest: int, rng: np.random.Generator) -> np.ndarray:
    widths = rng.integers(longest + 1, size=(count, masks, 1))
    starts = rng.integers(size - widths + 1)
    place = np.arange(size)
    return ~((place >= starts) & (place < starts + widths)).any(axis=1)


def equal_area_mask(control: np.ndarray, points: int) -> np.ndarray:
    """Mask exactly `points` points, the highest of a control map of shape (frames, bins)."""
    keep = np.ones(control.size, dtype=bool)
    if points:
        keep[np.argpartition(control, control.size - points, axis=None)[control.size - points :]] = False
    return keep.reshape(control.shape)


@dataclass(frozen=True)
class Masking:
    """All settings of the masks, one block of YAML.

    Args:
        policy: How a map becomes a mask.
        specaugment: The baseline's masks.
        fill: What a masked point becomes: `zero` (equation 3; in Whisper's scale a mid grey),
            `floor` (the utterance's own silence) or `mean` (its mean).
    """

    policy: ProbabilisticPolicy = field(default_factory=ProbabilisticPolicy)
    specaugment: SpecAugmentPolicy = field(default_factory=SpecAugmentPolicy)
    fill: str = "zero"
