"""Bubble noise in training: speech under loud noise with holes in it.

After the bubble noise of Mandel et al. (2016), in which people listen to
speech through holes of random place and size in noise that drowns everything
else.  A recogniser trained on such mixtures can bear noise in a part of the
spectrum; one that was trained on clean speech only cannot bear it in any part.
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
        probability: share of the utterances that get noise; the others stay clean
        max_bubbles: maximum number of bubbles in an utterance; there is at least one
        min_width: minimum width of a bubble in bins
        max_width: maximum width of a bubble in bins
        whole: share of the bubbles that last through the utterance; the others last for a random part of it
        gain: range of the noise's standard deviation on the scale of 16-bit samples; drawn on a logarithmic scale
    """

    def __init__(
        self,
        probability: float = 0.75,
        max_bubbles: int = 4,
        min_width: int = 3,
        max_width: int = 40,
        whole: float = 0.5,
        gain: tuple[float, float] = (100.0, 50_000.0),
    ) -> None:
        super().__init__()
        self.probability, self.max_bubbles, self.whole, self.gain = probability, max_bubbles, whole, gain
        self.widths = min_width, max_width

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
            for _ in range(_integer(1, self.max_bubbles)):
                width = _integer(*self.widths)
                first = _integer(0, max(bins - width, 0))
                start, end = 0, frames
                if torch.rand(()) >= self.whole:
                    start = _integer(0, own - 1)
                    end = _integer(start + 1, own)
                noisy[row, start:end, first : first + width] = x[row, start:end, first : first + width]
        return noisy, x_lengths


def _integer(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))


def register() -> None:
    """Make it known to ESPnet as `specaug: bubbles`."""
    asr.specaug_choices.classes["bubbles"] = Bubbles
