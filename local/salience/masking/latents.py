"""Masks of wav2vec 2.0's latent frames, as the variants of a fine-tuning draw them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from salience.errors import InputError
from salience.masking.policies import ProbabilisticPolicy
from salience.masking.spans import SpanMasking
from salience.randomness import generator

VARIANTS = ("plain", "specaugment", "random-mask", "gradcam")


@dataclass(frozen=True)
class LatentMasking:
    """Where latent frames are replaced by the model's own vector for masked ones.

    Args:
        specaugment: The model's own masks of the variant specaugment; transformers' defaults, with two spans at least.
        policy: How a map becomes a mask, in the variants gradcam and random-mask.
    """

    specaugment: SpanMasking = field(default_factory=lambda: SpanMasking(0.05, 10))
    policy: ProbabilisticPolicy = field(default_factory=ProbabilisticPolicy)


@dataclass(frozen=True)
class LatentMasker:
    """Masks an utterance's latent frames the way a variant does.

    random-mask hides what gradcam hides in that epoch, moved round the
    utterance by a random number of frames: equal share, equal spans.
    maps: (frames, 1) in [0, 1] by utterance.
    """

    variant: str
    settings: LatentMasking
    maps: Mapping[str, np.ndarray]
    seed: int

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(f"the variant {self.variant!r} is unknown; it is one of {', '.join(VARIANTS)}")

    def masked(self, utterance: str, frames: int, epoch: int) -> np.ndarray:
        """True where a frame is masked, (frames,)."""
        if self.variant == "plain":
            return np.zeros(frames, dtype=bool)
        if self.variant == "specaugment":
            # Of short utterances transformers masks more than the share: its mask_time_min_masks is 2.
            return self.settings.specaugment.mask(
                frames, generator(self.seed, utterance, epoch, "specaugment"), least=2
            )
        saliency = self.maps[utterance]
        if saliency.shape != (frames, 1):
            raise InputError(
                f"the map of {utterance} has the shape {saliency.shape} and the utterance {frames} frames; run stage 4"
                " again"
            )
        masked = ~self.settings.policy.mask(saliency, generator(self.seed, utterance, epoch, "policy"))[:, 0]
        if self.variant == "random-mask":
            masked = np.roll(masked, int(generator(self.seed, utterance, epoch, "shift").integers(1, max(frames, 2))))
        return masked
