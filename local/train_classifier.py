#!/usr/bin/env python3
"""Stage 3: train the accent classifier, and measure it beside a control that knows only durations."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset

from salience import program
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import FRAME_SHIFT, floor_of, pad_frames
from salience.files import write_json
from salience.masking.apply import apply_mask
from salience.masking.policies import SpecAugmentPolicy
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig, AccentCNNSizes, save_classifier
from salience.randomness import generator
from salience.scoring.classification import classification_scores
from salience.steps import Step, is_first_process
from salience.training.trainer import TrainingSettings, remove_checkpoints, train

logger = logging.getLogger("train_classifier")


def train_classifier(
    data: Path,
    features: Path,
    out: Path,
    train_set: str = "cls_train",
    dev_set: str = "cls_dev",
    test_sets: str = "cls_test",
    sizes: AccentCNNSizes = AccentCNNSizes(),
    training: TrainingSettings = TrainingSettings(),
    specaugment: SpecAugmentPolicy = SpecAugmentPolicy(),
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json, history.json and SYSTEM.SET.json.

    The CNN of section 3.2 with SpecAugment; the epoch with the best macro F1
    on the dev set is kept.  SYSTEM is accent-cnn or duration-only, the control
    that knows nothing but how long an utterance is.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        out: Folder of the classifier.
        train_set: Set to learn from.
        dev_set: Set that chooses the epoch.
        test_sets: Sets to report, separated by spaces.
        sizes: Sizes of the network.
        training: Settings of the training.
        specaugment: Masks of the augmentation.
        seed: Of weights, order and masks.
        ngpu: GPUs to use.
    """
    names = [train_set, dev_set, *test_sets.split()]
    sizes = replace(sizes, bins=Archive(features / train_set / "feats.scp").columns or sizes.bins)
    step = Step(
        out / "step.json",
        {"sizes": sizes, "training": training, "specaugment": specaugment, "seed": seed},
        inputs=[p for n in names for p in (data / n, features / n / "feats.scp")],
        outputs=[out / f for f in ("model.safetensors", "config.json", "history.json")]
        + [out / f"accent-cnn.{n}.json" for n in names[1:]],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    sets = {name: AccentSet(data / name, features / name) for name in names}
    classes = tuple(sorted(set(sets[train_set].accents)))
    if len(classes) < 2:
        raise InputError(f"{data / train_set}/utt2accent holds one accent only; a classifier needs two or more")
    for name in names:
        sets[name].label(classes)
    with step:
        torch.manual_seed(seed)
        model = AccentCNN(AccentCNNConfig(classes=classes, **vars(sizes)))
        model.set_normalisation(*sets[train_set].statistics())
        learning = Augmented(sets[train_set], specaugment, seed)
        device_batch = training.batch_size

        def dev_score(network: AccentCNN) -> dict[str, float]:
            logits = predict(network, sets[dev_set], device_batch)
            labels = torch.tensor(sets[dev_set].labels)
            chosen = logits.argmax(1)
            return {
                "dev_loss": torch.nn.functional.cross_entropy(logits, labels).item(),
                "dev_accuracy": 100 * (chosen == labels).float().mean().item(),
                "dev_macro_f1": 100 * float(f1_score(labels, chosen, average="macro", zero_division=0.0)),
            }

        history = train(
            model,
            learning,
            sets[train_set].frames,
            partial(collate, frames=sizes.frames),
            dev_score,
            "eval_dev_macro_f1",
            True,
            out,
            training,
            seed,
            ngpu,
        )
        if not is_first_process():
            return
        save_classifier(model.cpu(), out)
        write_json(out / "history.json", history)
        control = duration_control(sets[train_set])
        for name in names[1:]:
            answers = {
                "accent-cnn": predict(model, sets[name], device_batch).argmax(1).tolist(),
                "duration-only": control(sets[name]),
            }
            for system, chosen in answers.items():
                scores = scores_of(chosen, sets[name], classes)
                write_json(out / f"{system}.{name}.json", scores)
                logger.info(
                    "%s on %s: accuracy %.1f %%, macro F1 %.1f %%", system, name, scores["accuracy"], scores["macro_f1"]
                )
    remove_checkpoints(out)


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

    def __init__(self, source: AccentSet, policy: SpecAugmentPolicy, seed: int) -> None:
        self.source, self.policy, self.seed = source, policy, seed

    def __len__(self) -> int:
        return len(self.source.utterances)

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, float, int]:
        epoch, index = where
        utterance = self.source.utterances[index].id
        features = self.source.archive[utterance]
        keep = self.policy.mask(*features.shape, generator(self.seed, utterance, epoch, "classifier"))
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


def duration_control(source: AccentSet):
    """A classifier that sees only how long an utterance is: padding to 30 s shows that to the CNN too."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pipeline.fit(_durations(source), source.labels)
    return lambda other: pipeline.predict(_durations(other)).tolist()


def _durations(source: AccentSet) -> np.ndarray:
    seconds = np.array(source.frames) * FRAME_SHIFT
    return np.stack([seconds, np.log(seconds), seconds**2], axis=1)


def scores_of(chosen: list[int], source: AccentSet, classes: tuple[str, ...]) -> dict[str, object]:
    """Accuracy, macro F1, accuracy a speaker and confusion matrix of one set."""
    return classification_scores(
        ids=[u.id for u in source.utterances],
        truth=source.accents,
        predicted=[classes[c] for c in chosen],
        speakers=[u.speaker for u in source.utterances],
        labels=classes,
    )


if __name__ == "__main__":
    program.main(train_classifier)
