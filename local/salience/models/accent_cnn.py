"""The paper's accent classifier (Sameti et al. 2025, section 3.2).

Input 80 x 3000; four convolutions of 32, 64, 128 and 256 filters of 3 x 3, each
with ReLU and 2 x 2 max pooling; dropout; a dense layer of 128; one output a
class.  What the paper leaves open is read as: padding 1, pooling and dropout
after every convolution, input normalised by the training set's mean and
deviation of each bin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salience.errors import InputError
from salience.models.accent_classifier import ARCHITECTURES, AccentClassifier

TIME_STRIDE = 8
"""Frames of input for one column of the last convolution's maps: three poolings come before it."""

REACH = 32
"""Frames beyond which an input frame no longer touches a column of the last convolution (15 + 7, rounded up)."""

FRAMES_AT_A_TIME = 12_000
"""Frames of a batch that are differentiated at a time: in training, the activations of one frame take about 100 kB."""


@dataclass(frozen=True, kw_only=True)
class AccentCNNSizes:
    """Sizes of the classifier.

    Args:
        bins: Mel bins of the input; training takes those of the features.
        frames: Frames of the input, a multiple of 8; shorter utterances are padded.  3000 is the paper's 30 s.
        channels: Filters of the four convolutions.
        hidden: Units of the dense layer.
        dropout: Share of whole maps dropped after each pooling.
        dense_dropout: Share of units dropped before the output layer.
        batch_norm: Batch normalisation after each convolution (not in the paper).
    """

    bins: int = 80
    frames: int = 3000
    channels: tuple[int, ...] = (32, 64, 128, 256)
    hidden: int = 128
    dropout: float = 0.25
    dense_dropout: float = 0.5
    batch_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class AccentCNNConfig(AccentCNNSizes):
    """Sizes and labels: all that is needed to build the classifier.

    Args:
        classes: The labels, in the order of the outputs.
    """

    classes: tuple[str, ...]


@ARCHITECTURES.register("AccentCNN")
class AccentCNN(AccentClassifier):
    """The paper's network; Grad-CAM's layer is the last convolution after its ReLU."""

    settings_class = AccentCNNConfig
    frames_per_column = bins_per_row = TIME_STRIDE

    def __init__(self, config: AccentCNNConfig) -> None:
        super().__init__()
        # A multiple of TIME_STRIDE, so that one column of the maps is exactly that many frames.
        if config.frames % 8 or config.bins % 8:
            raise InputError(
                f"the classifier's input of {config.frames} frames and {config.bins} bins must be multiples of 8"
            )
        if len(config.channels) != 4:
            raise InputError(
                f"the classifier has four convolutions, not {len(config.channels)}; give four numbers of channels"
            )
        self.settings = config
        self.register_buffer("mean", torch.zeros(config.bins))
        self.register_buffer("deviation", torch.ones(config.bins))
        blocks, previous = [], 1
        for channels in config.channels:
            norm = [nn.BatchNorm2d(channels)] if config.batch_norm else []
            blocks.append(nn.Sequential(nn.Conv2d(previous, channels, 3, padding=1), *norm, nn.ReLU(inplace=True)))
            previous = channels
        self.convolutions = nn.ModuleList(blocks)
        self.layer = f"convolutions.{len(blocks) - 1}"
        self.earlier_layers = {f"convolutions.{n}": (2**n, 2**n) for n in range(len(blocks) - 1)}
        self.pool = nn.MaxPool2d(2)
        # Whole maps: neighbouring points of a map carry the same information, and a stretch
        # of padding stays constant in time, which `feature_maps` relies on.
        self.drop = nn.Dropout2d(config.dropout)
        poolings = 2 ** len(config.channels)
        flattened = previous * (config.bins // poolings) * (config.frames // poolings)
        self.classify = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flattened, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dense_dropout),
            nn.Linear(config.hidden, len(config.classes)),
        )

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation of each bin over the training set, each of shape (bins,)."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def feature_maps(self, features: Tensor) -> Tensor:
        """Maps of the last convolution after its ReLU, before its pooling.

        features: (batch, frames, bins).  Fewer than `config.frames` frames are
        understood to go on with the last one, as padded utterances do.
        Returns (batch, channels, bins / 8, config.frames / 8).

        What lies in the constant stretch beyond the reach of its two ends is
        computed once and repeated: the result is the same, at the cost of the
        real frames only.
        """
        if features.shape[2] != self.settings.bins:
            raise InputError(
                f"the classifier reads {self.settings.bins} bins, and the features have {features.shape[2]}; train it"
                " again on these features"
            )
        features = (features - self.mean) / self.deviation
        given, total = features.shape[1], self.settings.frames
        if given > total:
            raise InputError(
                f"an utterance of {given} frames does not fit the classifier's {total}; leave out longer ones in"
                " stage 1"
            )
        # A column whose surroundings are constant, and as many columns after it as the far end reaches.
        constant = -(-(given + REACH) // TIME_STRIDE)
        needed = (constant + 2) * TIME_STRIDE + REACH
        shortened = needed < total and not (self.settings.batch_norm and self.training)
        length = needed if shortened else total
        if given < length:
            tail = features[:, -1:].expand(-1, length - given, -1)
            features = torch.cat([features, tail], dim=1)
        # Laid out with the channels last in memory: on a processor three times as fast as channels first.
        maps = features.transpose(1, 2).contiguous().unsqueeze(-1).permute(0, 3, 1, 2)
        for index, block in enumerate(self.convolutions):
            if index:
                maps = self.drop(self.pool(maps))
            maps = block(maps)
        if not shortened:
            return maps
        repeated = total // TIME_STRIDE - maps.shape[-1]
        middle = maps[..., constant : constant + 1].expand(-1, -1, -1, repeated)
        return torch.cat([maps[..., :constant], middle, maps[..., constant:]], dim=-1)

    def head(self, maps: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """Logits (batch, classes) from the last convolution's maps; padding counts as what it is."""
        return self.classify(self.drop(self.pool(maps)))

    def divide_batch(self, batch: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Divide a batch into parts of at most FRAMES_AT_A_TIME; with batch normalisation it stays whole."""
        count, frames = batch["features"].shape[:2]
        size = count if self.settings.batch_norm else max(FRAMES_AT_A_TIME // frames, 1)
        for start in range(0, count, size):
            yield {name: values[start : start + size] for name, values in batch.items()}

    def padded_frames(self, frames: int) -> int:
        """One frame more if there is room: the model goes on with the last frame, which is then padding."""
        return frames + (frames < self.settings.frames)

    def heard_frames(self, frames: int) -> int:
        """All that it has: the last frame is repeated to the end."""
        return self.settings.frames

    def forward(self, features: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits, and the cross entropy when labels (batch,) are given."""
        logits = self.head(self.feature_maps(features))
        result = {"logits": logits}
        if labels is not None:
            result["loss"] = nn.functional.cross_entropy(logits, labels)
        return result
