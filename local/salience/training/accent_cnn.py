"""Training of the paper's accent CNN, with SpecAugment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from salience.features.logmel import floor_of, pad_frames
from salience.masking.apply import apply_mask
from salience.masking.policies import Policy, SpecAugmentPolicy
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig, AccentCNNSizes
from salience.randomness import generator
from salience.training.accent_classifier import AccentSet, NetworkClassifier
from salience.training.classifiers import CLASSIFIERS


class Augmented(Dataset[tuple[np.ndarray, float, int]]):
    """Features with SpecAugment, their padding value and label, by (epoch, index)."""

    def __init__(self, source: AccentSet, policy: Policy, seed: int) -> None:
        self.source, self.policy, self.seed = source, policy, seed

    def __len__(self) -> int:
        return len(self.source.utterances)

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, float, int]:
        epoch, index = where
        utterance = self.source.utterances[index].id
        features = self.source.archive[utterance]
        keep = self.policy.keep(np.zeros(features.shape), generator(self.seed, utterance, epoch, "classifier"))
        return apply_mask(features, keep, "mean"), floor_of(features), self.source.labels[index]


def collate(items: Sequence[tuple[np.ndarray, float, int]], frames: int) -> dict[str, torch.Tensor]:
    """A batch padded to one frame beyond its longest utterance, if that does not fill the model's `frames`.

    The model goes on with the last frame.
    """
    longest = max(len(features) for features, _, _ in items)
    length = longest + (longest < frames)
    padded = np.stack([pad_frames(features, length, floor) for features, floor, _ in items])
    return {"features": torch.from_numpy(padded), "labels": torch.tensor([label for _, _, label in items])}


@CLASSIFIERS.register("cnn")
@dataclass
class Cnn(NetworkClassifier):
    """The CNN of section 3.2 with SpecAugment; the epoch with the best macro F1 on the dev set is kept.

    Args:
        sizes: Sizes of the network.
        training: Settings of the training.
        specaugment: Masks of the augmentation.
    """

    system = "accent-cnn"

    sizes: AccentCNNSizes = field(default_factory=AccentCNNSizes)
    specaugment: SpecAugmentPolicy = field(default_factory=SpecAugmentPolicy)

    def prepare(
        self, train: AccentSet, dev: AccentSet, classes: tuple[str, ...], model: str, seed: int, ngpu: int
    ) -> tuple[Any, Any, Sequence[int], Callable[..., Any], Callable[[Any], torch.Tensor]]:
        sizes = replace(self.sizes, bins=train.bins or self.sizes.bins)
        self.batch_size = self.training.batch_size
        self.model = AccentCNN(AccentCNNConfig(classes=classes, **vars(sizes)))
        self.model.set_normalisation(*train.statistics())
        frames = dev.by_utterance()
        return (
            self.model,
            Augmented(train, self.specaugment, seed),
            train.frames,
            partial(collate, frames=sizes.frames),
            lambda network: network.predict(dev.archive, frames, self.batch_size),
        )
