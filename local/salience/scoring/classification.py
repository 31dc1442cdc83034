"""How well a classifier does, over utterances, over classes and over speakers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from salience.data.records import Utterance
from salience.errors import InputError
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units
from salience.scoring.results import new_row, rounded

DISJOINT, RANDOM = "speaker-disjoint", "random"
"""Splits of a classifier's sets."""
SUFFIX = "_random"
"""Of the names of the sets that are split at random."""

Classified = tuple[Mapping[str, str], Mapping[str, Any]]
"""What the placeholders of the path stand for, and the scores as `classification_scores` gives them."""


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
    over what), `macro_f1` (mean F1 of the classes that occur) with
    `macro_f1_low` and `macro_f1_high`, `per_class`, for each class that occurs
    its own `accuracy` and `f1` with their intervals and its `n`, `per_speaker`
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
    are, named = (np.array(each)[:, None] == np.array(present) for each in (truth, predicted))
    hits = (are & named).astype(float)
    recalls = resampled_rates(hits, are.astype(float), units, "accuracy")
    # F1 is a rate as well: 2 hits / (utterances of the class + answers of the class).
    f1s = resampled_rates(2 * hits, are.astype(float) + named, units, "accuracy")
    each_f1 = f1_score(truth, predicted, labels=present, average=None, zero_division=0.0)
    macro_low, macro_high = interval(np.nanmean(f1s, axis=1))
    return {
        "n": len(right),
        "accuracy": 100 * float(accuracy_score(truth, predicted)),
        "low": low,
        "high": high,
        "resampled": resampled,
        "macro_f1": 100 * float(np.mean(each_f1)),
        "macro_f1_low": macro_low,
        "macro_f1_high": macro_high,
        "per_class": {
            label: {
                "n": int(are[:, column].sum()),
                **_with_interval("accuracy", 100 * hits[:, column].sum() / are[:, column].sum(), recalls[:, column]),
                **_with_interval("f1", 100 * each_f1[column], f1s[:, column]),
            }
            for column, label in enumerate(present)
        },
        "speaker_accuracy": float(np.mean(list(by_speaker.values()))),
        "per_speaker": by_speaker,
        "chance": float(100 * max(np.mean(np.array(truth) == label) for label in present)),
        "labels": list(labels),
        "confusion": confusion_matrix(truth, predicted, labels=list(labels)).tolist(),
    }


def _with_interval(name: str, value: float, samples: np.ndarray) -> dict[str, float]:
    low, high = interval(samples)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def classifier_rows(found: Iterable[Classified], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make rows of classifiers from (placeholders, scores as `classification_scores` gives them).

    Scores of one system over folds and seeds are averaged, weighted by their
    utterances; `values` has the accuracy of each seed.  The interval is kept
    only where there is nothing to average.  `speaker_accuracy` has the
    `lowest` and `highest` of its `speakers`.  A row of the system
    `majority-class` holds the accuracy of chance; rows with a `speaker` that
    speaker's accuracy, if any has several utterances; rows of `class_accuracy`
    and `class_f1` those of the class that is their `accent`.
    """
    groups: dict[tuple[str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for fields, scores in found:
        key = (fields.get("set", "test"), fields.get("system", "accent-classifier"))
        groups.setdefault(key, []).append((int(fields.get("seed", 0)), scores))
    rows, chance = [], {}
    for (name, system), parts in groups.items():
        runs, seeds = [scores for _, scores in parts], sorted({seed for seed, _ in parts})

        def mean(metric: str, of: Iterable[Mapping[str, Any]] = runs) -> float:
            chosen = list(of)
            return rounded(np.average([scores[metric] for scores in chosen], weights=[s["n"] for s in chosen]))

        alone = runs[0] if len(runs) == 1 else {}
        ends = {end: rounded(alone[end]) for end in ("low", "high") if end in alone}
        by_seed = [mean("accuracy", (scores for seed, scores in parts if seed == wanted)) for wanted in seeds]
        each: dict[str, list[float]] = {}
        for speaker, accuracy in (item for scores in runs for item in scores["per_speaker"].items()):
            each.setdefault(speaker, []).append(accuracy)
        means = {speaker: rounded(np.mean(values)) for speaker, values in sorted(each.items())}

        size = sum(scores["n"] for scores in runs) // len(seeds)
        row = partial(new_row, common, system=system, set=name, n=size, seeds=seeds)
        rows.append(
            row(metric="accuracy", value=mean("accuracy"), values=by_seed, resampled=alone.get("resampled"), **ends)
        )
        ends = {end: rounded(alone[f"macro_f1_{end}"]) for end in ("low", "high") if f"macro_f1_{end}" in alone}
        rows.append(row(metric="macro_f1", value=mean("macro_f1"), resampled=alone.get("resampled"), **ends))
        rows += _class_rows(runs, len(seeds), row)
        spread = {"speakers": len(means), "lowest": min(means.values()), "highest": max(means.values())}
        rows.append(row(metric="speaker_accuracy", value=rounded(np.mean(list(means.values()))), **spread))
        if size > len(means):
            rows += [row(metric="accuracy", value=value, speaker=speaker) for speaker, value in means.items()]
        chance[name] = row(metric="accuracy", value=mean("chance"), system="majority-class")
    return rows + list(chance.values())


def _class_rows(
    runs: Sequence[Mapping[str, Any]], seeds: int, row: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of each class, averaged over runs by its utterances; the interval of a single run."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for scores in runs:
        for label, own in scores.get("per_class", {}).items():
            found.setdefault(label, []).append(own)
    rows = []
    for label, parts in sorted(found.items()):
        counts = [part["n"] for part in parts]
        for metric in ("accuracy", "f1"):
            value = rounded(np.average([part[metric] for part in parts], weights=counts))
            ends = {end: rounded(parts[0][f"{metric}_{end}"]) for end in ("low", "high") if len(runs) == 1}
            about = {"accent": label, "n": sum(counts) // seeds, "resampled": runs[0]["resampled"]}
            rows.append(row(metric=f"class_{metric}", value=value) | about | ends)
    return rows


def task_rows(
    found: Iterable[Classified], common: Mapping[str, Any], paper: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Make rows of classifiers of several tasks, and of what a random split leaks.

    The leak is the accuracy on the random split minus that on the
    speaker-disjoint one, in points, for the seeds that both have; the two have
    other models and other utterances, so there is no paired interval.

    Args:
        found: (placeholders, classification scores); the placeholders are `task`, `start`, `seed` and `set`, which is
            <task>_<part> or <task>_<part>_random.
        common: What all rows have in common.
        paper: The paper's accuracy of each task, on the test part of a random split.
    """
    rows = []
    members = (({**fields, "system": fields["start"]}, scores) for fields, scores in found)
    for row in classifier_rows(members, common):
        if row.get("speaker") is None:
            task, part, split = place_of(row["set"])
            row |= {"task": task, "part": part, "split": split}
            if row["system"] != "majority-class":
                row["start"] = row["system"]
                if (row["metric"], part, split) == ("accuracy", "test", RANDOM):
                    row["paper"] = (paper or {}).get(task)
            rows.append(row)
    accuracies = {
        (row["task"], row["part"], row["start"], row["split"]): dict(zip(row["seeds"], row["values"], strict=True))
        for row in rows
        if row["metric"] == "accuracy" and "start" in row
    }
    for task, part, start, split in accuracies:
        disjoint, random = (accuracies.get((task, part, start, name), {}) for name in (DISJOINT, RANDOM))
        shared = sorted(disjoint.keys() & random.keys())
        if shared and split == DISJOINT:
            gaps = [rounded(random[seed] - disjoint[seed]) for seed in shared]
            leak = {"metric": "leak", "value": rounded(np.mean(gaps)), "values": gaps, "seeds": shared}
            place = {"set": f"{task}_{part}", "system": start, "start": start, "task": task, "part": part}
            rows.append(new_row(common, **leak, **place))
    return rows


def of_its_split(fields: Mapping[str, str]) -> bool:
    """Whether a classifier's `set` is of the split its `task` was trained on: accent_random has accent_test_random."""
    task, _, split = place_of(fields["set"])
    return fields["task"] == task + (SUFFIX if split == RANDOM else "")


def place_of(name: str) -> tuple[str, str, str]:
    """Task, part and split that the name of a classifier's set says."""
    task, _, part = name.removesuffix(SUFFIX).rpartition("_")
    return task, part, RANDOM if name.endswith(SUFFIX) else DISJOINT
