#!/usr/bin/env python3
"""Stage 3: train an accent classifier, or a control, and score it."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import write_json
from salience.registry import plugins_of
from salience.scoring.classification import scores_of_set
from salience.steps import Step, is_first_process
from salience.training.accent_classifier import AccentSet
from salience.training.classifiers import CLASSIFIERS, Classifier
from salience.training.trainer import remove_checkpoints

logger = logging.getLogger("train_classifier")


@program.chosen_by("classifier", CLASSIFIERS.names, lambda name: {"classifier": CLASSIFIERS[name]})
def train_classifier(
    classifier: Classifier,
    data: Path,
    features: Path,
    out: Path,
    train_set: str = "cls_train",
    dev_set: str = "cls_dev",
    test_sets: str = "cls_test",
    model: str = "",
    quietest: float = 0.0,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json, history.json and SYSTEM.SET.json.

    SYSTEM is what the results call it: accent-cnn, whisper-encoder, or
    duration-only, the control that knows nothing but how long an utterance is
    and leaves its scores only; with -quietest behind it, a control that is
    trained and tested on the quietest frames of each utterance alone, which
    tells how much the room and the microphone give away.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        out: Folder of the classifier.
        train_set: Training set.
        dev_set: Set by which the best epoch is chosen.
        test_sets: Sets to report, separated by spaces.
        model: Whisper model whose encoder whisper-encoder uses: a published name, a file or a folder.
        quietest: Share of the frames that the quietest control keeps; 0 keeps all, as the classifier itself does.
        seed: Random seed of weights, order and masks.
        ngpu: GPUs to use.
    """
    names = [train_set, dev_set, *test_sets.split()]
    system = classifier.system + ("-quietest" if quietest else "")
    step = Step(
        out / "step.json",
        {"classifier": classifier.system, **classifier.settings(), "quietest": quietest, "seed": seed},
        inputs=[p for n in names for p in (data / n, features / n / "feats.scp")]
        + [*classifier.inputs(model), *plugins_of(type(classifier))],
        outputs=[out / name for name in classifier.saved] + [out / f"{system}.{n}.json" for n in names[1:]],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    sets = {name: AccentSet(data / name, features / name, quietest) for name in names}
    classes = tuple(sorted(set(sets[train_set].accents)))
    if len(classes) < 2:
        raise InputError(f"{data / train_set}/utt2accent holds one accent only; a classifier needs two or more")
    for each in sets.values():
        each.label(classes)
    with step:
        classifier.fit(sets[train_set], sets[dev_set], classes, model, out, seed, ngpu)
        if not is_first_process():
            return
        for name in names[1:]:
            chosen = classifier.predict(sets[name])
            scores = scores_of_set(sets[name].utterances, sets[name].accents, chosen, classes)
            write_json(out / f"{system}.{name}.json", scores)
            logger.info(
                "%s on %s: accuracy %.1f %%, macro F1 %.1f %%", system, name, scores["accuracy"], scores["macro_f1"]
            )
    remove_checkpoints(out)


if __name__ == "__main__":
    program.main(train_classifier)
