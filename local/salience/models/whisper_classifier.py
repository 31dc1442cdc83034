"""An accent classifier that hears with a frozen Whisper encoder.

The states after one of its blocks are pooled over the utterance's real frames
to their mean and standard deviation (the statistics pooling of Snyder et al.
2018), standardised by the training set, and given to a linear layer or a small
network with one hidden layer.  Only that is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from whisper.model import AudioEncoder

from salience.errors import InputError
from salience.models.accent_classifier import ARCHITECTURES, AccentClassifier
from salience.models.whisper import encoder_states, padded_frames

STRIDE = 2
"""Frames of input for one state: the stride of Whisper's second convolution."""

LEAST_VARIANCE = 1e-6
"""Added to the variance over time: the deviation of a single state would have no gradient."""


@dataclass(frozen=True, kw_only=True)
class WhisperEncoderConfig:
    """All that is needed to build the classifier.

    Args:
        classes: The labels, in the order of the outputs.
        bins: Mel bins of the input.
        context: States that the encoder has positions for.
        state: Width of a state.
        heads: Attention heads.
        blocks: Blocks of the encoder that are kept; the states after the last of these are pooled.
        hidden: Units of the hidden layer; 0 is a linear classifier.
        full_context: Pad to 30 s, as the published encoders were trained, instead of by the utterance's length.
    """

    classes: tuple[str, ...]
    bins: int
    context: int
    state: int
    heads: int
    blocks: int
    hidden: int = 0
    full_context: bool = False


@ARCHITECTURES.register("WhisperEncoderClassifier")
class WhisperEncoderClassifier(AccentClassifier):
    """Grad-CAM's layer is the last block that is kept: its maps have a column for two frames and no frequencies.

    An utterance is padded by its own length alone, as in fine-tuning with
    short context, because the cost of a map grows with the padding; pooling
    leaves the padding out, but attention sees it, so that only utterances of
    the same padded length share a batch.
    """

    settings_class = WhisperEncoderConfig
    frames_per_column = STRIDE

    def __init__(self, config: WhisperEncoderConfig) -> None:
        super().__init__()
        self.settings = config
        self.bins_per_row = config.bins
        self.layer = f"encoder.blocks.{config.blocks - 1}"
        self.earlier_layers = {f"encoder.blocks.{n}": (STRIDE, config.bins) for n in range(config.blocks - 1)}
        self.register_buffer("mean", torch.zeros(config.bins))
        self.encoder = AudioEncoder(config.bins, config.context, config.state, config.heads, config.blocks)
        del self.encoder.ln_post
        self.encoder.requires_grad_(False)
        self.classify = PooledClassifier(2 * config.state, config.hidden, len(config.classes))

    def feature_maps(self, features: Tensor) -> Tensor:
        """States (batch, state, 1, frames / 2) after the last block that is kept."""
        if features.shape[2] != self.settings.bins:
            raise InputError(
                f"the classifier reads {self.settings.bins} bins, and the features have {features.shape[2]}; train it"
                " again on these features"
            )
        # An odd number of frames, of which the convolution makes a state more, is that of a caller's own.
        return encoder_states(self.encoder, features).transpose(1, 2).unsqueeze(2)

    def pool(self, maps: Tensor, lengths: Sequence[int]) -> Tensor:
        """Mean and standard deviation (batch, 2 x state) of the states of the real frames."""
        states = maps.squeeze(2)
        counts = torch.tensor([-(-length // STRIDE) for length in lengths], device=maps.device)
        real = torch.arange(states.shape[2], device=maps.device) < counts[:, None]
        states, counts = torch.where(real[:, None], states, 0), counts[:, None]
        mean = states.sum(2) / counts
        squares = torch.where(real[:, None], states - mean[..., None], 0).square()
        return torch.cat([mean, (squares.sum(2) / counts + LEAST_VARIANCE).sqrt()], dim=1)

    def head(self, maps: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """Logits (batch, classes) from the states."""
        return self.classify(self.pool(maps, lengths))["logits"]

    def padded_frames(self, frames: int) -> int:
        """As Whisper is given it: at least half a second of silence, in whole seconds."""
        return padded_frames(frames, self.settings.full_context, STRIDE * self.settings.context)

    def group(self, frames: int) -> int:
        """Utterances of the same padded length."""
        return self.padded_frames(frames)


class PooledClassifier(nn.Module):
    """Pooled states in, one logit an accent out; all that is trained."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        before = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
        self.layers = nn.Sequential(*before, nn.Linear(hidden or width, classes))

    def forward(self, pooled: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits (batch, classes) of pooled states (batch, width), and the cross entropy when labels are given."""
        logits = self.layers((pooled - self.mean) / self.deviation)
        return {"logits": logits} | ({} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels)})
