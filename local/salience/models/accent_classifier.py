"""What accent classifiers have in common: how they batch utterances, what is explained of them, their files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from more_itertools import chunked
from safetensors.torch import load_file, save
from torch import Tensor, nn

from salience.errors import stale
from salience.features.logmel import floor_of, pad_frames
from salience.files import foreign, read_json, whole_file, write_json
from salience.progress import bar
from salience.registry import Registry


class AccentClassifier(nn.Module, ABC):
    """Log-mel spectrograms in, one logit an accent out, divided at the layer whose activations Grad-CAM weighs.

    settings: a dataclass, `settings_class`, with `classes`, the labels in the
    order of the outputs, and `bins`.  mean: each bin's mean over the training set's frames
    (bins,), which hides a point.  layer: name of the layer.
    frames_per_column, bins_per_row: its resolution.  earlier_layers: modules
    whose activations Grad-CAM may weigh instead, with their resolution.
    """

    settings_class: ClassVar[type]
    settings: Any
    mean: Tensor
    layer: str
    frames_per_column: int
    bins_per_row: int
    earlier_layers: dict[str, tuple[int, int]]

    @abstractmethod
    def feature_maps(self, features: Tensor) -> Tensor:
        """The layer's activations (batch, channels, rows, columns) for features (batch, frames, bins)."""

    @abstractmethod
    def head(self, maps: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """Logits (batch, classes) from the layer's activations and the real frames of each utterance."""

    @abstractmethod
    def padded_frames(self, frames: int) -> int:
        """The frames to which an utterance of so many is padded; of a batch, the most of its utterances count."""

    def heard_frames(self, frames: int) -> int:
        """The frames that it reads of an utterance of so many, padding included."""
        return self.padded_frames(frames)

    def group(self, frames: int) -> int:
        """A number that utterances have in common which may share a batch without changing each other's logits."""
        return 0

    def batches(self, frames: Mapping[str, int], size: int) -> Iterator[list[str]]:
        """All utterances, from the number of frames of each, in batches of similar length."""

        def order(key: str) -> tuple[int, int, str]:
            return self.group(frames[key]), frames[key], key

        for _, alike in groupby(sorted(frames, key=order), lambda key: self.group(frames[key])):
            yield from chunked(alike, size)

    def padded(self, matrices: Sequence[np.ndarray], whole: bool = False) -> tuple[Tensor, list[int]]:
        """A batch of features (batch, frames, bins), each padded with its own floor, and the real frames of each.

        With `whole`, they have all the padding that the model reads, even
        where it can do without.
        """
        lengths = list(map(len, matrices))
        longest = max(map(self.heard_frames if whole else self.padded_frames, lengths))
        batch = torch.from_numpy(np.stack([pad_frames(m, longest, floor_of(m)) for m in matrices]))
        return batch.to(self.mean.device), lengths

    @torch.no_grad()
    def predict(self, features: Mapping[str, np.ndarray], frames: Mapping[str, int], size: int) -> Tensor:
        """Logits (utterances, classes) in the order of `frames`, the numbers of frames by utterance."""
        self.eval()
        rows = {key: row for row, key in enumerate(frames)}
        logits = torch.empty(len(rows), len(self.settings.classes))
        for keys in bar(list(self.batches(frames, size)), "batches to classify"):
            batch, lengths = self.padded([features[key] for key in keys])
            logits[[rows[key] for key in keys]] = self.head(self.feature_maps(batch), lengths).cpu()
        return logits


ARCHITECTURES: Registry[type[AccentClassifier]] = Registry(
    "architecture of accent classifiers",
    {"AccentCNN": "salience.models.accent_cnn", "WhisperEncoderClassifier": "salience.models.whisper_classifier"},
)
"""Networks by the name that config.json has in `architectures`; one that names none is the CNN."""


def save_classifier(model: AccentClassifier, folder: Path) -> None:
    """Write `model.safetensors`, then `config.json` with the architecture, its sizes and labels."""
    with whole_file(folder / "model.safetensors", "wb") as handle:
        handle.write(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
    write_json(folder / "config.json", {"architectures": [type(model).__name__], **asdict(model.settings)})


def load_classifier(folder: Path, device: str = "cpu") -> AccentClassifier:
    """Read what `save_classifier` wrote; a checkpoint of another architecture is an InputError."""
    folder = Path(folder)
    about = read_json(folder / "config.json")
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise stale(weights, "does not exist")
    with foreign(folder, "holds no accent classifier of this architecture", "train it again, or give another folder"):
        (name,) = about.pop("architectures", ["AccentCNN"])
        kind = ARCHITECTURES[name]
        settings = kind.settings_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in about.items()})
        # On no device, because drawing 30 million weights that the file replaces takes longer than reading it.
        with torch.device("meta"):
            model = kind(settings)
        model.load_state_dict(load_file(weights), assign=True)
    return model.to(device).eval()
