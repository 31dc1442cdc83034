"""Spans of frames, as wav2vec 2.0 masks them (Baevski et al. 2020, section 3.1) in pretraining and in fine-tuning."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpanMasking:
    """How many frames start a span, and how long it is.

    Args:
        share: Sum of the spans' lengths over the utterance's; they overlap, so fewer frames are masked.
            0.65 is wav2vec 2.0's p = 0.065 times its length of 10, and masks about 49 percent.
        length: Frames of a span.
    """

    share: float = 0.65
    length: int = 10

    def expected(self) -> float:
        """The share of a long utterance's frames that is masked."""
        return 1 - (1 - self.share / self.length) ** self.length

    def mask(self, frames: int, rng: np.random.Generator, least: int = 0) -> np.ndarray:
        """True where a frame is masked, (frames,), in at least `least` spans.

        Starts are drawn without replacement; their number is rounded up or
        down by chance, so that its mean is the configured one.  A span is
        never longer than half the utterance.
        """
        length = max(min(self.length, frames // 2), 1)
        starts = frames - length + 1
        count = min(max(int(self.share * frames / length + rng.random()), least), starts)
        masked = np.zeros(frames, dtype=bool)
        masked[(rng.choice(starts, count, replace=False)[:, None] + np.arange(length)).ravel()] = True
        return masked
