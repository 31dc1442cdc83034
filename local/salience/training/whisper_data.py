"""Utterances for Whisper's fine-tuning: each once as it is and once augmented in an epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from salience.features.logmel import FRAMES_30S, floor_of, pad_frames
from salience.models.whisper import IGNORED, too_long

TAIL = 50
"""Frames of silence after the longest utterance of a batch, so that an end can be heard."""
STEP = 100
"""Padded lengths are multiples of this many frames."""


@dataclass(frozen=True)
class Example:
    """Features (frames, bins), the value that pads them, and target tokens."""

    features: np.ndarray
    floor: float
    tokens: list[int]


class AugmentedUtterances(Dataset[Example]):
    """Every utterance twice: index i < n is utterance i itself, index n + i its augmented copy.

    "The masked spectrograms are combined with the primary dataset" (section
    3.3).  The plain variant repeats the utterance, so that all variants make
    the same number of updates.  Items are asked for by (epoch, index).

    features: by utterance id.  tokens: by utterance id.  augment(utterance,
    features, epoch) returns features of the same shape.
    """

    def __init__(
        self,
        utterances: Sequence[str],
        features: Mapping[str, np.ndarray],
        tokens: Mapping[str, list[int]],
        augment: Callable[[str, np.ndarray, int], np.ndarray],
    ) -> None:
        self.utterances = utterances
        self.features = features
        self.tokens = tokens
        self.augment = augment

    def __len__(self) -> int:
        return 2 * len(self.utterances)

    def __getitem__(self, where: tuple[int, int]) -> Example:
        epoch, index = where
        utterance = self.utterances[index % len(self.utterances)]
        features = self.features[utterance]
        floor = floor_of(features)
        if index >= len(self.utterances):
            features = self.augment(utterance, features, epoch)
        return Example(features, floor, self.tokens[utterance])


def padded_frames(frames: int, full_context: bool, most: int = FRAMES_30S) -> int:
    """Frames an utterance is padded to; depends on nothing but its own length and the `most` that the model hears."""
    if frames > most:
        raise too_long(frames, most)
    return most if full_context else min(-(-(frames + TAIL) // STEP) * STEP, most)


def collate(
    examples: Sequence[Example], end: int, full_context: bool, most: int = FRAMES_30S
) -> dict[str, torch.Tensor]:
    """One batch: features (batch, frames, bins), decoder input tokens and labels (batch, length).

    `end` is the end-of-text token, which also fills the decoder's input; `most` are the frames that the model hears.
    """
    frames = padded_frames(max(len(e.features) for e in examples), full_context, most)
    features = np.stack([pad_frames(e.features, frames, e.floor) for e in examples])
    tokens, labels = collate_tokens([e.tokens for e in examples], end)
    return {"features": torch.from_numpy(features), "tokens": tokens, "labels": labels}


def collate_tokens(targets: Sequence[Sequence[int]], end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder input and the labels that follow it, (batch, length) each, filled with `end` and IGNORED."""
    length = max(map(len, targets)) - 1
    tokens = torch.full((len(targets), length), end, dtype=torch.long)
    labels = torch.full((len(targets), length), IGNORED, dtype=torch.long)
    for row, target in enumerate(targets):
        tokens[row, : len(target) - 1] = torch.tensor(target[:-1])
        labels[row, : len(target) - 1] = torch.tensor(target[1:])
    return tokens, labels
