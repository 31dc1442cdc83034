"""Training of accent classifiers: sets with their accents, scores on the dev set, controls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import FRAME_SHIFT
from salience.files import write_json
from salience.models.accent_classifier import AccentClassifier, save_classifier
from salience.progress import bar
from salience.steps import is_first_process
from salience.training.classifiers import CLASSIFIERS, Classifier
from salience.training.settings import TrainingSettings
from salience.training.trainer import train as train_network


class QuietestFrames(Mapping[str, np.ndarray]):
    """The quietest frames of each utterance in their order: what there is of the room and the microphone.

    Args:
        features: Log-mel features (frames, bins) by utterance.
        share: Share of the frames that is kept, by their mean over the bins.
    """

    def __init__(self, features: Mapping[str, np.ndarray], share: float) -> None:
        self.features, self.share = features, share

    def count(self, frames: int) -> int:
        """How many of an utterance's frames are kept."""
        return ceil(self.share * frames)

    def __getitem__(self, key: str) -> np.ndarray:
        matrix = self.features[key]
        return matrix[np.sort(np.argsort(matrix.mean(1), kind="stable")[: self.count(len(matrix))])]

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)


class AccentSet:
    """The utterances of a set with their features and accents; with `quietest`, of that share of their frames only."""

    def __init__(self, data: Path, features: Path, quietest: float = 0.0) -> None:
        self.name = data
        self.utterances: list[Utterance] = read_data_dir(data)
        archive = Archive(features / "feats.scp")
        self.bins = archive.columns or 0
        self.archive: Mapping[str, np.ndarray] = archive
        counts = read_table(features / "utt2num_frames")
        self.frames = [int(counts[u.id]) for u in self.utterances]
        if quietest:
            self.archive = quiet = QuietestFrames(archive, quietest)
            self.frames = list(map(quiet.count, self.frames))
        for utterance in self.utterances:
            if utterance.accent is None:
                raise InputError(
                    f"{data}/utt2accent has no line for {utterance.id}; the classifier needs an accent for each"
                )
        self.accents = [str(u.accent) for u in self.utterances]
        self.labels: list[int] = []

    def label(self, classes: tuple[str, ...]) -> None:
        """Turn accents into class numbers; one that training lacks is an InputError."""
        for utterance, accent in zip(self.utterances, self.accents, strict=True):
            if accent not in classes:
                raise InputError(
                    f"{self.name}/utt2accent: {utterance.id} has the accent {accent!r}, which the training set lacks"
                    f" ({', '.join(classes)})"
                )
        self.labels = [classes.index(accent) for accent in self.accents]

    def by_utterance(self) -> dict[str, int]:
        """The number of frames of each utterance."""
        return {u.id: count for u, count in zip(self.utterances, self.frames, strict=True)}

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each bin over all real frames, in one pass."""
        total, squares, count = np.zeros(1), np.zeros(1), 0
        for utterance in bar(self.utterances, f"statistics of {self.name.name}"):
            matrix = self.archive[utterance.id].astype(np.float64)
            total, squares, count = total + matrix.sum(0), squares + (matrix**2).sum(0), count + len(matrix)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def dev_scores(logits: torch.Tensor, labels: Sequence[int]) -> dict[str, float]:
    """Loss, accuracy and macro F1 in percent on the dev set, from logits (utterances, classes) and class numbers."""
    correct, chosen = torch.tensor(labels), logits.argmax(1)
    return {
        "dev_loss": torch.nn.functional.cross_entropy(logits, correct).item(),
        "dev_accuracy": 100 * (chosen == correct).float().mean().item(),
        "dev_macro_f1": 100 * float(f1_score(correct, chosen, average="macro", zero_division=0.0)),
    }


@dataclass
class NetworkClassifier(Classifier):
    """A classifier that is a network."""

    model: ClassVar[AccentClassifier]
    batch_size: ClassVar[int]

    training: TrainingSettings = field(default_factory=TrainingSettings)

    def prepare(
        self, train: AccentSet, dev: AccentSet, classes: tuple[str, ...], model: str, seed: int, ngpu: int
    ) -> tuple[Any, Any, Sequence[int], Callable[..., Any], Callable[[Any], torch.Tensor]]:
        """Set `model`; return the part to train, its data, their lengths, their collation, and its logits of `dev`."""
        raise NotImplementedError

    def fit(
        self, train: AccentSet, dev: AccentSet, classes: tuple[str, ...], model: str, out: Path, seed: int, ngpu: int
    ) -> None:
        torch.manual_seed(seed)
        network, data, lengths, collate, logits = self.prepare(train, dev, classes, model, seed, ngpu)

        def score(trained: Any) -> dict[str, float]:
            return dev_scores(logits(trained), dev.labels)

        best = "eval_dev_macro_f1"
        history = train_network(network, data, lengths, collate, score, best, True, out, self.training, seed, ngpu)
        if is_first_process():
            save_classifier(self.model.cpu(), out)
            write_json(out / "history.json", history)

    def predict(self, source: AccentSet) -> list[int]:
        return self.model.predict(source.archive, source.by_utterance(), self.batch_size).argmax(1).tolist()


@CLASSIFIERS.register("durations")
@dataclass
class Durations(Classifier):
    """A control that knows only how long an utterance is: padding to 30 s shows that to the CNN too."""

    system = "duration-only"
    saved = ()

    def fit(
        self, train: AccentSet, dev: AccentSet, classes: tuple[str, ...], model: str, out: Path, seed: int, ngpu: int
    ) -> None:
        self.pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self.pipeline.fit(_durations(train), train.labels)

    def predict(self, source: AccentSet) -> list[int]:
        return self.pipeline.predict(_durations(source)).tolist()


def _durations(source: AccentSet) -> np.ndarray:
    seconds = np.array(source.frames) * FRAME_SHIFT
    return np.stack([seconds, np.log(seconds), seconds**2], axis=1)
