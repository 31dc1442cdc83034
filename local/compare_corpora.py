#!/usr/bin/env python3
"""Stage 3: a control of the combined corpora, which a classifier should hardly tell apart after --bandwidth."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from salience import program
from salience.corpora.sets import at_most
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import write_json
from salience.scoring.classification import scores_of_set
from salience.steps import Step
from salience.training.corpora_control import MEASURES, predicted_corpora

logger = logging.getLogger("compare_corpora")
FEWEST = 5


def compare_corpora(data: Path, features: Path, sets: str, out: Path, seed: int = 1) -> None:
    """Write OUT/MEASURE-of-utterances.corpora.json, the scores of a classifier of corpora.

    Logistic regression on a measure of each utterance's log-mel features, five
    folds with disjoint speakers, equally many utterances of each set.  The
    measure `spectrum` sees the channel and the bandwidth alone, `statistics`
    levels, noise and pauses, too.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        sets: Sets of different corpora, separated by spaces; behind a colon, the accents that are taken of it,
            separated by commas: cls_train:english asr_train:us,canada.  Take like accents, or these tell corpora apart.
        out: Folder for the scores.
        seed: Random seed of the utterances and the folds.
    """
    names = [word.partition(":")[0] for word in sets.split()]
    if len(set(names)) < 2:
        raise InputError(f"--sets takes two sets or more, of different corpora, not {sets!r}")
    files = {measure: out / f"{measure}-of-utterances.corpora.json" for measure in MEASURES}
    inputs = [path for name in names for path in (data / name, features / name / "feats.scp")]
    step = Step(out / "step.json", {"sets": sets, "seed": seed}, inputs, list(files.values()))
    if step.is_done():
        return
    with step:
        found = [_chosen(data / name, accents) for name, _, accents in (word.partition(":") for word in sets.split())]
        count = min(map(len, found))
        if count < FEWEST:
            raise InputError(f"--sets {sets!r} has only {count} utterances of one of them, and {FEWEST} are needed")
        found = [at_most(own, count, seed) for own in found]
        utterances = [utterance for own in found for utterance in own]
        corpora = [number for number, own in enumerate(found) for _ in own]
        for measure, path in files.items():
            vectors = np.stack(
                [MEASURES[measure](matrix) for name, own in zip(names, found, strict=True)
                 for matrix in _matrices(features / name, own)]
            )  # fmt: skip
            predicted = predicted_corpora(vectors, corpora, [u.speaker for u in utterances], seed)
            scores = scores_of_set(utterances, [names[number] for number in corpora], predicted, names)
            write_json(path, scores)
            logger.info("%s told apart by %s: %.1f %% (chance %.1f)", " and ".join(names), measure,
                        scores["accuracy"], scores["chance"])  # fmt: skip


def _chosen(folder: Path, accents: str) -> list[Utterance]:
    return [u for u in read_data_dir(folder) if not accents or u.accent in accents.split(",")]


def _matrices(folder: Path, utterances: list[Utterance]) -> Iterator[np.ndarray]:
    archive = Archive(folder / "feats.scp")
    return (archive[utterance.id] for utterance in utterances)


if __name__ == "__main__":
    program.main(compare_corpora)
