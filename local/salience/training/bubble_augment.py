"""Bubbles for a listener: training speech under loud noise with holes in it.

After the bubble noise of Mandel et al. (2016): listeners hear speech through
holes of random place and size in noise that drowns everything else.  A
recogniser that has learnt from such mixtures can bear noise in a part of the
spectrum; one that knows clean speech only cannot bear it in any part.
"""

import math

import torch
from espnet2.asr.specaug.abs_specaug import AbsSpecAug
from espnet2.tasks import asr
from torch import Tensor

from salience.features.fbank import HOP, WINDOW, fbank


class Bubbles(AbsSpecAug):
    """White noise over Kaldi fbank features (batch, frames, bins), but for some bubbles.

    The powers of speech and noise add up in each point, which is the mixture
    of their signals but for the term of their phases.

    Args:
        probability: Share of the utterances that get noise; the others stay clean.
        most: Bubbles of an utterance, at most; there is one at least.
        widest: Bins of a bubble, at most.
        narrowest: Bins of a bubble, at least.
        whole: Share of the bubbles that last through the utterance; the others last for a random part of it.
        gain: Range of the noise's standard deviation on the scale of 16-bit samples; drawn on a logarithmic scale.
    """

    def __init__(
        self,
        probability: float = 0.75,
        most: int = 4,
        widest: int = 40,
        narrowest: int = 3,
        whole: float = 0.5,
        gain: tuple[float, float] = (100.0, 50_000.0),
    ) -> None:
        super().__init__()
        self.probability, self.most, self.widest, self.narrowest, self.whole = (
            probability,
            most,
            widest,
            narrowest,
            whole,
        )
        self.gain = gain

    def forward(self, x: Tensor, x_lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        batch, frames, bins = x.shape
        noise = fbank(torch.randn(batch, WINDOW + HOP * (frames - 1), device=x.device))
        low, high = (math.log(gain) for gain in self.gain)
        louder = 2 * (low + (high - low) * torch.rand(batch, 1, 1, device=x.device))
        noisy = torch.logaddexp(x, noise + louder)
        lengths = [frames] * batch if x_lengths is None else x_lengths.tolist()
        for row, own in enumerate(lengths):
            if torch.rand(()) >= self.probability:
                noisy[row] = x[row]
                continue
            for _ in range(_integer(1, self.most)):
                width = _integer(self.narrowest, self.widest)
                first = _integer(0, max(bins - width, 0))
                start, end = 0, frames
                if torch.rand(()) >= self.whole:
                    start = _integer(0, own - 1)
                    end = _integer(start + 1, own)
                noisy[row, start:end, first : first + width] = x[row, start:end, first : first + width]
        return noisy, x_lengths


def _integer(least: int, most: int) -> int:
    return int(torch.randint(least, most + 1, ()))


def register() -> None:
    """Make it known to ESPnet as `specaug: bubbles`."""
    asr.specaug_choices.classes["bubbles"] = Bubbles
