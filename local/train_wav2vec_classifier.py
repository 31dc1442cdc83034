#!/usr/bin/env python3
"""Stage 3: train wav2vec 2.0 to tell accents, or genders, apart."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Wav2Vec2ForSequenceClassification

from salience import program
from salience.data.waveforms import RATE, Waveforms, batches_of_equals, labels_of_set, pad_signals, padded_samples
from salience.errors import InputError
from salience.files import write_json
from salience.models.wav2vec import (
    FILES,
    Learning,
    class_scores,
    context,
    feature_maps,
    files_of,
    labels_of,
    numbers_of,
    open_classifier,
    prepare,
    real_frames,
    save_model,
)
from salience.randomness import generator
from salience.scoring.classification import classification_scores
from salience.steps import Step, is_first_process
from salience.training.trainer import TrainingSettings, remove_checkpoints, train

logger = logging.getLogger(Path(__file__).name)


def train_wav2vec_classifier(
    data: Path,
    out: Path,
    labels: Literal["accent", "gender"],
    train_set: str,
    dev_set: str,
    test_sets: str,
    packed: Path | None = None,
    start: str = "random",
    size: str = "base",
    learning: Learning = Learning(),
    training: TrainingSettings = TrainingSettings(learning_rate=1e-4, batch_size=8, epochs=5),
    longest: float = 15.6,
    scaled: bool = True,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json (with the labels), history.json and wav2vec.SET.json.

    Kept is the epoch with the best macro F1 on the dev set.

    Args:
        data: Folder of the data directories.
        out: Folder of the classifier.
        labels: accent (utt2accent) or gender (spk2gender).
        train_set: Set to learn from.
        dev_set: Set that chooses the epoch.
        test_sets: Sets to report, separated by spaces.
        packed: Folder of the packed sets; without one the recordings are decoded each time.
        start: `random`, a folder of transformers' format, or a name on the Hugging Face hub (name@commit for other than its newest files).
        size: Of a random start: base or mini.
        learning: Which weights learn, and how fast.
        training: Settings of the training.
        longest: Seconds of an utterance that are learnt from; of a longer one, each epoch hears another part.
        scaled: Each utterance with zero mean and unit variance.
        seed: Of the head, order, parts and dropout.
        ngpu: GPUs to use.
    """
    names = [train_set, dev_set, *test_sets.split()]
    sets = {name: Waveforms(data / name, packed / name if packed else None, scaled) for name in names}
    step = Step(
        out / "step.json",
        {
            "labels": labels,
            "start": start,
            "size": size,
            "learning": learning,
            "training": training,
            "longest": longest,
            "scaled": scaled,
            "seed": seed,
            "sound": {name: waveforms.identity() for name, waveforms in sets.items()},
        },
        inputs=[
            path
            for name, w in sets.items()
            for path in (*w.inputs, data / name / ("utt2accent" if labels == "accent" else "spk2gender"))
        ]
        + files_of(start),
        outputs=[out / name for name in (*FILES, "history.json", *(f"wav2vec.{name}.json" for name in names[1:]))],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    truth = {name: labels_of_set(waveforms, labels) for name, waveforms in sets.items()}
    classes = sorted(set(truth[train_set].values()))
    if len(classes) < 2:
        raise InputError(f"{data / train_set} holds one {labels} only; a classifier needs two or more")
    numbers = {
        name: numbers_of(list(found.values()), classes, list(found), data / name) for name, found in truth.items()
    }
    with step:
        model = open_classifier(start, classes, size, seed)
        finish = prepare(model, learning)

        def dev_score(network: Classifier) -> dict[str, float]:
            logits, correct = predict(network.model, sets[dev_set], training.batch_size), torch.tensor(numbers[dev_set])
            chosen = logits.argmax(1)
            return {
                "dev_loss": nn.functional.cross_entropy(logits, correct).item(),
                "dev_accuracy": 100 * (chosen == correct).float().mean().item(),
                "dev_macro_f1": 100 * float(f1_score(correct, chosen, average="macro", zero_division=0.0)),
            }

        learnt = LabelledUtterances(sets[train_set], numbers[train_set], round(longest * RATE), seed)
        history = train(
            Classifier(model),
            learnt,
            learnt.lengths,
            collate,
            dev_score,
            "eval_dev_macro_f1",
            True,
            out,
            training,
            seed,
            ngpu,
            learning.rate,
        )
        if is_first_process():
            model = finish().cpu()
            save_model(model, out)
            write_json(out / "history.json", history)
            for name in names[1:]:
                scores = scores_of(model, sets[name], truth[name], training.batch_size)
                write_json(out / f"wav2vec.{name}.json", scores)
                logger.info(
                    "wav2vec on %s: accuracy %.1f %%, macro F1 %.1f %%", name, scores["accuracy"], scores["macro_f1"]
                )
    if is_first_process():
        remove_checkpoints(out)


class LabelledUtterances(Dataset[tuple[np.ndarray, int]]):
    """Signals of at most `longest` samples, with their class, by (epoch, index)."""

    def __init__(self, waveforms: Waveforms, numbers: Sequence[int], longest: int, seed: int) -> None:
        self.waveforms, self.numbers, self.longest, self.seed = waveforms, numbers, longest, seed
        self.ids = list(waveforms)
        self.lengths = [min(waveforms.samples[key], longest) for key in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, int]:
        epoch, index = where
        signal = self.waveforms[self.ids[index]]
        start = int(
            generator(self.seed, self.ids[index], epoch, "part").integers(max(len(signal) - self.longest, 0) + 1)
        )
        return signal[start : start + self.longest], self.numbers[index]


def collate(items: Sequence[tuple[np.ndarray, int]]) -> dict[str, Tensor]:
    """A batch padded to its longest utterance."""
    signals, real = pad_signals([signal for signal, _ in items])
    return {
        "signals": torch.from_numpy(signals),
        "real": torch.from_numpy(real),
        "labels": torch.tensor([label for _, label in items]),
    }


class Classifier(nn.Module):
    """A classifier as `transformers.Trainer` wants it: a batch in, loss out; no frame is masked."""

    def __init__(self, model: Wav2Vec2ForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def activation_checkpointing_enable(self, **_: object) -> None:
        """Keep only the layers' inputs in memory and compute them again for the gradient."""
        self.model.gradient_checkpointing_enable()

    def forward(self, signals: Tensor, real: Tensor, labels: Tensor) -> dict[str, Tensor]:
        frames = real_frames(self.model.config, real)
        logits = class_scores(
            self.model, context(self.model.wav2vec2, feature_maps(self.model.wav2vec2, signals), frames), frames
        )
        return {"loss": nn.functional.cross_entropy(logits.float(), labels)}


@torch.no_grad()
def predict(model: Wav2Vec2ForSequenceClassification, waveforms: Waveforms, batch_size: int) -> Tensor:
    """Logits (utterances, classes) in the order of the set, independent of the batches."""
    model.eval()
    device = model.classifier.weight.device
    rows = {}
    for keys in batches_of_equals(waveforms.samples, batch_size):
        padded, real = pad_signals(
            [waveforms[key] for key in keys], padded_samples(max(waveforms.samples[key] for key in keys))
        )
        logits = model(torch.from_numpy(padded).to(device), attention_mask=torch.from_numpy(real).to(device)).logits
        rows |= dict(zip(keys, logits.float().cpu(), strict=True))
    return torch.stack([rows[key] for key in waveforms])


def scores_of(
    model: Wav2Vec2ForSequenceClassification, waveforms: Waveforms, truth: dict[str, str], batch_size: int
) -> dict[str, object]:
    """Accuracy, macro F1, accuracy a speaker and confusion matrix of one set; the saved labels count."""
    classes = labels_of(model)
    numbers_of(list(truth.values()), classes, list(truth), waveforms.data)
    chosen = predict(model, waveforms, batch_size).argmax(1).tolist()
    return classification_scores(
        ids=list(truth),
        truth=list(truth.values()),
        predicted=[classes[number] for number in chosen],
        speakers=[waveforms.utterances[key].speaker for key in truth],
        labels=classes,
    )


if __name__ == "__main__":
    program.main(train_wav2vec_classifier)
