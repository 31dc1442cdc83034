"""Where to mask: the paper's probabilistic policy, controls of equal area, SpecAugment.

A policy turns C, a map scaled to [0, 1], into M of the paper's equation 3: a
boolean array `keep` (frames, bins), True where a point is kept.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from salience.masking.spans import SpanMasking
from salience.registry import Registry


class Policy:
    """From a unit map and a random generator to a mask.

    Attributes:
        stream: Name of the random numbers it draws; policies that share a name draw from one generator in turn.
        of: The system whose mask of the same utterance and epoch `keep` gets as `other`; "" if it needs none.
    """

    stream: ClassVar[str] = "policy"
    of: str = ""

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """M for a map C in [0, 1] of shape (frames, bins); zeros where the system has no map."""
        raise NotImplementedError


POLICIES: Registry[type[Policy]] = Registry("masking policy")
"""Policies by the name that systems.yaml gives them; their fields are its settings."""


@POLICIES.register("none")
@dataclass(frozen=True)
class NoPolicy(Policy):
    """Nothing is masked."""

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All points."""
        return np.ones(unit_map.shape, dtype=bool)


@POLICIES.register("probabilistic")
@dataclass(frozen=True)
class ProbabilisticPolicy(Policy):
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

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """M of equations 1 and 2."""
        size = unit_map.shape if self.per_point else None
        middle_rate = rng.uniform(*self.middle_rate, size=size)
        low_rate = rng.uniform(*self.low_rate, size=size)
        # R is uniform over (0, 1].
        chance = 1.0 - rng.random(unit_map.shape)
        rate = np.where(unit_map > self.high, 1.0, np.where(unit_map > self.middle, middle_rate, low_rate))
        masked = chance > rate if self.literal else chance <= rate
        return ~(masked & (unit_map > self.low))


@POLICIES.register("top-share")
@dataclass(frozen=True)
class TopSharePolicy(Policy):
    """The highest points of the map, always the same share of the utterance.

    A map with fewer positive points than that loses only these: where a map
    says nothing, nothing is masked.

    Args:
        share: Share of the points that are masked, from 0 to 1.
    """

    share: float = 0.1

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All but the highest points; draws nothing."""
        points = min(round(self.share * unit_map.size), np.count_nonzero(unit_map))
        return highest_masked(unit_map, points)


@POLICIES.register("specaugment")
@dataclass(frozen=True)
class SpecAugmentPolicy(Policy):
    """Time and frequency masks of Park et al. (2019), without warping.

    Args:
        time_masks: Number of time masks.
        time_width: Longest time mask in frames.
        time_share: Longest time mask as a share of the utterance.
        frequency_masks: Number of frequency masks.
        frequency_width: Widest frequency mask in bins.
    """

    stream: ClassVar[str] = "specaugment"
    time_masks: int = 2
    time_width: int = 100
    time_share: float = 0.05
    frequency_masks: int = 2
    frequency_width: int = 27

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All but the time and frequency masks; the map's values do not matter."""
        frames, bins = unit_map.shape
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
        """Masks of many utterances of one length: which frames (count, frames) and bins (count, bins) are kept."""
        longest = min(self.time_width, int(self.time_share * frames))
        return (
            _kept(count, frames, self.time_masks, longest, rng),
            _kept(count, bins, self.frequency_masks, min(self.frequency_width, bins), rng),
        )


def _kept(count: int, size: int, masks: int, longest: int, rng: np.random.Generator) -> np.ndarray:
    widths = rng.integers(longest + 1, size=(count, masks, 1))
    starts = rng.integers(size - widths + 1)
    place = np.arange(size)
    return ~((place >= starts) & (place < starts + widths)).any(axis=1)


@POLICIES.register("spans")
@dataclass(frozen=True)
class SpanPolicy(Policy):
    """Spans of frames at random places, as wav2vec 2.0 masks its latent frames in fine-tuning.

    Args:
        share: Sum of the spans' lengths over the utterance's; they overlap.
        length: Frames of a span.
        min_spans: Spans of an utterance that is too short for that share; transformers' mask_time_min_masks.
    """

    stream: ClassVar[str] = "specaugment"
    share: float = 0.05
    length: int = 10
    min_spans: int = 2

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All frames outside the spans; the map's values do not matter."""
        frames, bins = unit_map.shape
        hidden = SpanMasking(self.share, self.length).mask(frames, rng, self.min_spans)
        return np.repeat(~hidden[:, None], bins, axis=1)


@POLICIES.register("equal-area")
@dataclass(frozen=True)
class EqualAreaPolicy(Policy):
    """The highest points of the map, as many as another system masks in the same epoch.

    Args:
        of: Name of that system.
    """

    of: str = ""

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator, other: np.ndarray | None = None) -> np.ndarray:
        """As many points as in `other`, the other system's `keep`."""
        # Breaks ties where the map is flat.
        noisy = unit_map + 1e-6 * rng.random(unit_map.shape)
        return highest_masked(noisy, int(other.size - other.sum()))


@POLICIES.register("shifted")
@dataclass(frozen=True)
class ShiftedPolicy(Policy):
    """Another system's mask, moved round the utterance by a random number of frames: equal share, equal spans.

    Args:
        of: Name of that system.
    """

    stream: ClassVar[str] = "shift"
    of: str = ""

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator, other: np.ndarray | None = None) -> np.ndarray:
        """`other`, the other system's `keep`, moved round."""
        return np.roll(other, int(rng.integers(1, max(len(other), 2))), axis=0)


def highest_masked(unit_map: np.ndarray, points: int) -> np.ndarray:
    """`keep` without exactly `points` points, the highest of a map (frames, bins)."""
    keep = np.ones(unit_map.size, dtype=bool)
    if points:
        keep[np.argpartition(unit_map, unit_map.size - points, axis=None)[unit_map.size - points :]] = False
    return keep.reshape(unit_map.shape)
