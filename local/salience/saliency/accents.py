"""Accent classifiers as the saliency methods see them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salience.data.directories import read_data_dir
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import frame_levels
from salience.models.accent_classifier import AccentClassifier, load_classifier
from salience.saliency.base import SaliencyMap
from salience.saliency.explained import EXPLAINED, Batch, Explained, ExplainedSet, Target, first_of_each, maps_of
from salience.steps import fingerprint


class ExplainedAccents(Explained):
    """An accent classifier; what is explained is the logit of a class."""

    window = (16, 16)

    def __init__(self, model: AccentClassifier, target: Target = Target()) -> None:
        super().__init__(target)
        self.model = model
        self.layer = model.layer
        self.frames_per_column, self.bins_per_row = model.frames_per_column, model.bins_per_row
        self.baseline = model.mean
        self.layers = model.earlier_layers
        self.files = []

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.feature_maps(features)

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.head(activations, lengths)

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]

    def predicted(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """The class that the model gives to each utterance, (batch,)."""
        return self.forward(features, lengths)[1].argmax(1)

    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> "AccentFeatures":
        if features is None:
            raise InputError("an accent classifier needs --features, the folder of the log-mel features")
        return AccentFeatures(self, data, features, max_per_accent)

    def kept(self, columns: int) -> int | None:
        return None if self.padded else columns

    def heard(self, frames: int) -> int:
        return self.model.heard_frames(frames)

    def about(self) -> dict[str, Any]:
        settings = self.model.settings
        return {"classes": list(settings.classes), "checkpoint": fingerprint(self.files[0])}


class AccentFeatures(ExplainedSet):
    """The log-mel features of a set, padded as in the training of the classifier."""

    def __init__(self, explained: ExplainedAccents, data: Path, features: Path, max_per_accent: int) -> None:
        self.explained, self.data = explained, data
        self.archive = Archive(features / "feats.scp")
        utterances = list(first_of_each(read_data_dir(data), max_per_accent))
        counts = read_table(features / "utt2num_frames")
        self.frames = {u.id: int(counts[u.id]) for u in utterances}
        self.accents = {u.id: u.accent for u in utterances}
        self.inputs = [data, features / "feats.scp"]

    def keep(self, keys: Iterable[str]) -> None:
        self.frames = {key: self.frames[key] for key in keys}

    def batches(self, batch_size: int) -> Iterator[Batch]:
        model = self.explained.model
        classes = self._classes() if self.explained.target.kind == "true" else {}
        for keys in model.batches(self.frames, batch_size):
            padded, lengths = model.padded([self.archive[key] for key in keys], self.explained.padded)
            if classes:
                targets = torch.tensor([classes[key] for key in keys], device=padded.device)
            else:
                targets = self.explained.predicted(padded, lengths)
            yield Batch(keys, padded, lengths, targets)

    def levels(self, key: str) -> np.ndarray:
        return frame_levels(self.archive[key])

    def _classes(self) -> dict[str, int]:
        known = self.explained.model.settings.classes
        for key, accent in self.accents.items():
            if accent not in known:
                raise InputError(
                    f"{self.data}: {key} has the accent {accent!r}, which the classifier never saw"
                    f" ({', '.join(known)}); use --target predicted"
                )
        return {key: known.index(str(accent)) for key, accent in self.accents.items()}


def saliency_map(
    model: AccentClassifier, features: np.ndarray, method: str = "gradcam", target: str | None = None, seed: int = 1
) -> SaliencyMap:
    """Explain what an accent classifier says of one utterance.

    Args:
        model: The classifier.
        features: Log-mel features (frames, bins).
        method: Name of a saliency method.
        target: The class to explain; the predicted one by default.
        seed: Random seed of the methods that need one.
    """
    explained, classes = ExplainedAccents(model), model.settings.classes
    padded, lengths = model.padded([features])
    if target is None:
        targets = explained.predicted(padded, lengths)
    elif target in classes:
        targets = torch.tensor([classes.index(target)], device=padded.device)
    else:
        raise InputError(f"the classifier does not know {target!r}; it knows: {', '.join(classes)}")
    return maps_of(explained, Batch([""], padded, lengths, targets), [method], seed)[method][0]


@EXPLAINED.register("WhisperEncoderClassifier")
@EXPLAINED.register("AccentCNN")
def explained_accents(folder: Path, target: Target, device: str) -> ExplainedAccents:
    """The classifier in a folder."""
    target.check_classes(folder)
    explained = ExplainedAccents(load_classifier(folder, device), target)
    explained.files = [folder / "model.safetensors"]
    return explained
