"""The accent CNN as the saliency methods see it: Grad-CAM's layer is the last convolution."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor

from salience.data.directories import read_data_dir
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import floor_of, pad_frames
from salience.models.accent_cnn import TIME_STRIDE, AccentCNN, load_classifier
from salience.saliency.base import SaliencyMap
from salience.saliency.explained import EXPLAINED, Batch, Explained, ExplainedSet, Target, first_of_each, maps_of
from salience.steps import fingerprint


class ExplainedCNN(Explained):
    """An accent classifier; what is explained is the logit of a class."""

    frames_per_column = bins_per_row = TIME_STRIDE
    window = (16, 16)

    def __init__(self, model: AccentCNN, target: Target = Target()) -> None:
        super().__init__(target)
        self.model = model
        self.layer = f"convolutions.{len(model.convolutions) - 1}"
        self.baseline = model.mean
        self.files = []

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.feature_maps(features)

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.head(activations)

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]

    def predicted(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """The class that the model gives to each utterance, (batch,)."""
        return self.forward(features, lengths)[1].argmax(1)

    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> "AccentFeatures":
        if features is None:
            raise InputError("an accent classifier needs --features, the folder of the log-mel features")
        return AccentFeatures(self, data, features, max_per_accent)

    def about(self) -> dict[str, Any]:
        settings = self.model.settings
        return {"classes": list(settings.classes), "checkpoint": fingerprint(self.files[0])}


class AccentFeatures(ExplainedSet):
    """The log-mel features of a set, padded as in the training of the classifier."""

    def __init__(self, explained: ExplainedCNN, data: Path, features: Path, max_per_accent: int) -> None:
        self.explained, self.data = explained, data
        self.archive = Archive(features / "feats.scp")
        utterances = list(first_of_each(read_data_dir(data), max_per_accent))
        counts = read_table(features / "utt2num_frames")
        self.frames = {u.id: int(counts[u.id]) for u in utterances}
        self.accents = {u.id: u.accent for u in utterances}
        self.inputs = [data, features / "feats.scp"]

    def batches(self, batch_size: int) -> Iterator[Batch]:
        model = self.explained.model
        classes = self._classes() if self.explained.target.kind == "true" else {}
        for keys in chunked(sorted(self.frames, key=lambda key: (self.frames[key], key)), batch_size):
            padded, lengths = _padded([self.archive[key] for key in keys], model)
            if classes:
                targets = torch.tensor([classes[key] for key in keys], device=padded.device)
            else:
                targets = self.explained.predicted(padded, lengths)
            yield Batch(keys, padded, lengths, targets)

    def _classes(self) -> dict[str, int]:
        known = self.explained.model.settings.classes
        for key, accent in self.accents.items():
            if accent not in known:
                raise InputError(
                    f"{self.data}: {key} has the accent {accent!r}, which the classifier never saw"
                    f" ({', '.join(known)}); use --target predicted"
                )
        return {key: known.index(str(accent)) for key, accent in self.accents.items()}


def _padded(matrices: Sequence[np.ndarray], model: AccentCNN) -> tuple[Tensor, list[int]]:
    """A batch of features (batch, frames, bins), and the real frames of each."""
    lengths = list(map(len, matrices))
    # One frame beyond the longest if there is room, so that every row ends in its own padding.
    longest = max(lengths) + (max(lengths) < model.settings.frames)
    padded = torch.from_numpy(np.stack([pad_frames(m, longest, floor_of(m)) for m in matrices]))
    return padded.to(model.mean.device), lengths


def saliency_map(
    model: AccentCNN, features: np.ndarray, method: str = "gradcam", target: str | None = None, seed: int = 1
) -> SaliencyMap:
    """Explain what an accent classifier says of one utterance.

    Args:
        model: The classifier.
        features: Log-mel features (frames, bins).
        method: Name of a saliency method.
        target: The class to explain; the predicted one by default.
        seed: Random seed of the methods that need one.
    """
    explained, classes = ExplainedCNN(model), model.settings.classes
    padded, lengths = _padded([features], model)
    if target is None:
        targets = explained.predicted(padded, lengths)
    elif target in classes:
        targets = torch.tensor([classes.index(target)], device=padded.device)
    else:
        raise InputError(f"the classifier does not know {target!r}; it knows: {', '.join(classes)}")
    return maps_of(explained, Batch([""], padded, lengths, targets), [method], seed)[method][0]


@EXPLAINED.register("AccentCNN")
def explained_cnn(folder: Path, target: Target, device: str) -> ExplainedCNN:
    """The classifier in a folder."""
    if target.kind not in ("predicted", "true") or target.per_character:
        raise InputError(
            f"{folder} holds a classifier, which has no symbols; give --target predicted or true, no --per-character"
        )
    explained = ExplainedCNN(load_classifier(folder, device), target)
    explained.files = [folder / "model.safetensors"]
    return explained
