"""How well a classifier does, over utterances, over classes and over speakers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from salience.data.records import Utterance
from salience.errors import InputError
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units


def scores_of_set(
    utterances: Iterable[Utterance], truth: Sequence[str], chosen: Iterable[int], labels: Sequence[str]
) -> dict[str, Any]:
    """`classification_scores` of the classes, as numbers, that a classifier gives to the utterances of a set."""
    utterances = list(utterances)
    return classification_scores(
        ids=[u.id for u in utterances],
        truth=truth,
        predicted=[labels[number] for number in chosen],
        speakers=[u.speaker for u in utterances],
        labels=labels,
    )


def classification_scores(
    ids: Sequence[str], truth: Sequence[str], predicted: Sequence[str], speakers: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Scores in percent of one prediction an utterance, as plain values that JSON can hold.

    `accuracy` with its bootstrap interval `low`, `high` (`resampled` says
    over what), `macro_f1` (mean F1 of the classes that occur), `per_speaker`
    accuracies and their mean `speaker_accuracy`, `chance` (always answering
    the most frequent class), `labels` and `confusion` (rows are the truth),
    `n`.  A label outside `labels` is an InputError.
    """
    strange = (set(truth) | set(predicted)) - set(labels)
    if strange:
        raise InputError(
            f"the label {min(strange)} is none of the classifier's ({', '.join(labels)}); "
            "train it on this label or leave its utterances out"
        )
    if not truth:
        raise InputError("there is no utterance to score the classifier on; check the test set's utt2accent")
    right = np.array(truth) == np.array(predicted)
    by_speaker = {
        speaker: float(100 * right[np.array(speakers) == speaker].mean()) for speaker in sorted(set(speakers))
    }
    present = [label for label in labels if label in set(truth)]
    units, resampled = resampling_units(speakers, ids)
    low, high = interval(
        resampled_rates(right[:, None].astype(float), np.ones((len(right), 1)), units, "accuracy")[:, 0]
    )
    return {
        "n": len(right),
        "accuracy": 100 * float(accuracy_score(truth, predicted)),
        "low": low,
        "high": high,
        "resampled": resampled,
        "macro_f1": 100 * float(f1_score(truth, predicted, labels=present, average="macro", zero_division=0.0)),
        "speaker_accuracy": float(np.mean(list(by_speaker.values()))),
        "per_speaker": by_speaker,
        "chance": float(100 * max(np.mean(np.array(truth) == label) for label in present)),
        "labels": list(labels),
        "confusion": confusion_matrix(truth, predicted, labels=list(labels)).tolist(),
    }
