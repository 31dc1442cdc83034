#!/usr/bin/env python3
"""Stage 3: train the accent classifier, and measure it beside a control that knows only durations."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from salience import program
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import write_json
from salience.masking.policies import SpecAugmentPolicy
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig, AccentCNNSizes, save_classifier
from salience.scoring.classification import scores_of_set
from salience.steps import Step, is_first_process
from salience.training.accent_classifier import AccentSet, Augmented, collate, dev_scores, duration_control, predict
from salience.training.settings import TrainingSettings
from salience.training.trainer import remove_checkpoints, train

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
        train_set: Training set.
        dev_set: Set by which the best epoch is chosen.
        test_sets: Sets to report, separated by spaces.
        sizes: Sizes of the network.
        training: Settings of the training.
        specaugment: Masks of the augmentation.
        seed: Random seed of weights, order and masks.
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
        augmented = Augmented(sets[train_set], specaugment, seed)
        history = train(
            model,
            augmented,
            sets[train_set].frames,
            partial(collate, frames=sizes.frames),
            lambda network: dev_scores(predict(network, sets[dev_set], training.batch_size), sets[dev_set].labels),
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
                "accent-cnn": predict(model, sets[name], training.batch_size).argmax(1).tolist(),
                "duration-only": control(sets[name]),
            }
            for system, chosen in answers.items():
                scores = scores_of_set(sets[name].utterances, sets[name].accents, chosen, classes)
                write_json(out / f"{system}.{name}.json", scores)
                logger.info(
                    "%s on %s: accuracy %.1f %%, macro F1 %.1f %%", system, name, scores["accuracy"], scores["macro_f1"]
                )
    remove_checkpoints(out)


if __name__ == "__main__":
    program.main(train_classifier)
