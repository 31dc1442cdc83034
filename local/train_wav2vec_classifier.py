#!/usr/bin/env python3
"""Stage 3: train wav2vec 2.0 to tell accents, or genders, apart."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.waveforms import RATE, Waveforms, labels_of_set
from salience.errors import InputError
from salience.files import write_json
from salience.models.wav2vec import FILES, Learning, files_of, numbers_of, open_classifier, prepare, save_model
from salience.scoring.classification import scores_of_set
from salience.steps import Step, is_first_process
from salience.training.accent_classifier import dev_scores
from salience.training.settings import TrainingSettings
from salience.training.trainer import remove_checkpoints, train
from salience.training.wav2vec_classifier import Classifier, LabelledUtterances, collate, predict

logger = logging.getLogger(Path(__file__).name)


@program.renamed(longest="max_seconds")
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
    max_seconds: float = 15.6,
    scaled: bool = True,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json (with the labels), history.json and wav2vec.SET.json.

    Keeps the epoch with the best macro F1 on the dev set.

    Args:
        data: Folder of the data directories.
        out: Folder of the classifier.
        labels: accent (utt2accent) or gender (spk2gender).
        train_set: Training set.
        dev_set: Set by which the best epoch is chosen.
        test_sets: Sets to report, separated by spaces.
        packed: Folder of the packed sets; without one the recordings are decoded each time.
        start: `random`, a folder of transformers' format, or a name on the Hugging Face hub (name@commit pins a
            version).
        size: Size of a random start: base or mini.
        learning: Which weights are trained, and their learning rates.
        training: Settings of the training.
        max_seconds: Longest part of an utterance that is trained on; longer ones are cropped at random in each epoch.
        scaled: Bring each utterance to zero mean and unit variance.
        seed: Random seed of the head, order, crops and dropout.
        ngpu: GPUs to use.
    """
    names = [train_set, dev_set, *test_sets.split()]
    sets = {name: Waveforms(data / name, packed / name if packed else None, scaled) for name in names}
    settings = {"learning": learning, "training": training, "longest": max_seconds, "scaled": scaled, "seed": seed}
    sound = {name: waveforms.identity() for name, waveforms in sets.items()}
    table = "utt2accent" if labels == "accent" else "spk2gender"
    step = Step(
        out / "step.json",
        {"labels": labels, "start": start, "size": size, "sound": sound, **settings},
        inputs=[path for name, w in sets.items() for path in (*w.inputs, data / name / table)] + files_of(start),
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
        utterances = LabelledUtterances(sets[train_set], numbers[train_set], round(max_seconds * RATE), seed)
        history = train(
            Classifier(model),
            utterances,
            utterances.lengths,
            collate,
            lambda network: dev_scores(predict(network.model, sets[dev_set], training.batch_size), numbers[dev_set]),
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
                chosen = predict(model, sets[name], training.batch_size).argmax(1).tolist()
                scores = scores_of_set(sets[name].utterances.values(), list(truth[name].values()), chosen, classes)
                write_json(out / f"wav2vec.{name}.json", scores)
                logger.info(
                    "wav2vec on %s: accuracy %.1f %%, macro F1 %.1f %%", name, scores["accuracy"], scores["macro_f1"]
                )
    if is_first_process():
        remove_checkpoints(out)


if __name__ == "__main__":
    program.main(train_wav2vec_classifier)
