"""Training of the accent classifier: sets with their accents, augmentation, a control that knows only durations."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset

from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import FRAME_SHIFT, floor_of, pad_frames
from salience.masking.apply import apply_mask
from salience.masking.policies import Policy
from salience.models.accent_cnn import AccentCNN
from salience.randomness import generator


class AccentSet:
    """The utterances of a set with their features and accents."""

    def __init__(self, data: Path, features: Path) -> None:
        self.name = data
        self.utterances: list[Utterance] = read_data_dir(data)
        self.archive = Archive(features / "feats.scp")
        counts = read_table(features / "utt2num_frames")
        self.frames = [int(counts[u.id]) for u in self.utterances]
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

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each bin over all real frames, in one pass."""
        total, squares, count = np.zeros(1), np.zeros(1), 0
        for utterance in self.utterances:
            matrix = self.archive[utterance.id].astype(np.float64)
            total, squares, count = total + matrix.sum(0), squares + (matrix**2).sum(0), count + len(matrix)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


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


@torch.no_grad()
def predict(model: AccentCNN, source: AccentSet, batch_size: int) -> torch.Tensor:
    """Logits (utterances, classes) in the order of the set."""
    model.eval()
    device = model.mean.device
    logits = torch.empty(len(source.utterances), len(model.settings.classes))
    by_length = sorted(range(len(source.utterances)), key=source.frames.__getitem__)
    for rows in chunked(by_length, batch_size):
        matrices = [source.archive[source.utterances[row].id] for row in rows]
        batch = collate([(matrix, floor_of(matrix), 0) for matrix in matrices], model.settings.frames)
        logits[rows] = model(batch["features"].to(device))["logits"].cpu()
    return logits


def duration_control(source: AccentSet) -> Callable[[AccentSet], list[int]]:
    """A classifier that sees only how long an utterance is: padding to 30 s shows that to the CNN too."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pipeline.fit(_durations(source), source.labels)
    return lambda other: pipeline.predict(_durations(other)).tolist()


def _durations(source: AccentSet) -> np.ndarray:
    seconds = np.array(source.frames) * FRAME_SHIFT
    return np.stack([seconds, np.log(seconds), seconds**2], axis=1)


def dev_scores(logits: torch.Tensor, labels: Sequence[int]) -> dict[str, float]:
    """Loss, accuracy and macro F1 in percent on the dev set, from logits (utterances, classes) and class numbers."""
    correct, chosen = torch.tensor(labels), logits.argmax(1)
    return {
        "dev_loss": torch.nn.functional.cross_entropy(logits, correct).item(),
        "dev_accuracy": 100 * (chosen == correct).float().mean().item(),
        "dev_macro_f1": 100 * float(f1_score(correct, chosen, average="macro", zero_division=0.0)),
    }
