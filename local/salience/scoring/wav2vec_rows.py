"""Rows of what is particular to wav2vec 2.0: starts and variants, the health of pretraining, what a split leaks.

A row has the fields `start` and `variant` of the recogniser, or `task` (such
as accent), `part` (dev or test) and `split` (speaker-disjoint or random) of a
classifier.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from salience.errors import InputError
from salience.scoring.results import classifier_rows, new_row, placed, rounded

STARTS = ("random", "own", "spanish", "english", "multilingual")
"""What fine-tuning starts from, in the order of the tables."""
VARIANTS = ("plain", "specaugment", "random-mask", "gradcam")
DISJOINT, RANDOM = "speaker-disjoint", "random"
"""Splits of a classifier's sets."""
SUFFIX = "_random"
"""Of the names of the sets that are split at random."""
PRETRAINED = "own"

Classified = tuple[Mapping[str, str], Mapping[str, Any]]


def system_name(start: str, variant: str) -> str:
    """The start alone, where nothing is masked."""
    return start if variant == "plain" else f"{start} + {variant}"


def pairs(systems: Iterable[str]) -> list[tuple[str, str]]:
    """Which system is compared with which.

    Each start with the random one and Spanish with English, the paper's
    questions; each variant with the plain one of its start, and Grad-CAM's
    masks with random ones of the same share.
    """
    there = list(systems)
    starts = [name for name in there if " + " not in name]
    wanted = [(start, "random") for start in starts if start != "random"] + [("spanish", "english")]
    for start in starts:
        wanted += [(system_name(start, variant), start) for variant in VARIANTS if variant != "plain"]
        wanted.append((system_name(start, "gradcam"), system_name(start, "random-mask")))
    return [pair for pair in wanted if set(pair) <= set(there)]


def health_rows(
    histories: Mapping[int, tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """How healthy pretraining was at its end, from {seed: (history, the model's configuration)}.

    A row has the mean over seeds and in `values` that of each.  The rows of
    `code_perplexity` say between which bounds it lies, `least` and `most`.
    `contrastive_accuracy_kept` is that of the epoch whose weights are used.
    """
    found: dict[str, list[float]] = {}
    for seed, (history, _) in sorted(histories.items()):
        scored = [entry for entry in history if "eval_dev_accuracy" in entry]
        if not scored:
            raise InputError(f"the history of pretraining with seed {seed} has no dev score; pretrain the model again")
        last = scored[-1]
        # The best one, if none is marked; of equals the trainer keeps the first.
        kept = max(
            (entry for entry in scored if entry.get("phase") == last.get("phase")),
            key=lambda entry: (entry.get("kept", False), entry["eval_dev_accuracy"]),
        )
        measured = {
            "contrastive_accuracy": 100 * last["eval_dev_accuracy"],
            "contrastive_accuracy_kept": 100 * kept["eval_dev_accuracy"],
            "contrastive_chance": 100 * last["eval_dev_chance"],
            "code_perplexity": last["eval_dev_perplexity"],
            "frame_cosine": last["eval_dev_frame_cosine"],
            "masked_frames": 100 * last["eval_dev_masked_share"],
            "pretraining_loss": last["eval_train_loss"],
            "updates": last.get("update", last["step"]),
        }
        for metric, value in measured.items():
            found.setdefault(metric, []).append(value)
    config = next((config for _, config in histories.values()), {})
    books = config.get("num_codevector_groups")
    bounds = {"least": books, "most": books and books * config["num_codevectors_per_group"]}
    return [
        new_row(
            common,
            system=PRETRAINED,
            start=PRETRAINED,
            recogniser=common["recogniser"],
            metric=metric,
            value=rounded(np.mean(values)),
            values=[rounded(value) for value in values],
            seeds=sorted(histories),
            **(bounds if metric == "code_perplexity" else {}),
        )
        for metric, values in found.items()
    ]


def task_rows(found: Iterable[Classified], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of accent and gender classifiers, and of the `leak`, from (placeholders, classification scores).

    The placeholders are `task`, `start`, `seed` and `set`, which is
    <task>_<part> or <task>_<part>_random.  Accuracies of single speakers are
    given by their `speakers`, `lowest` and `highest`.  The leak is the
    accuracy on the random split minus that on the speaker-disjoint one, in
    points, for the seeds that both have; the two have other models and other
    utterances, so there is no paired interval.
    """
    rows: list[dict[str, Any]] = []
    accuracies: dict[tuple[str, str, str], dict[str, dict[int, float]]] = {}
    groups: dict[str, list[Classified]] = {}
    for fields, scores in found:
        groups.setdefault(fields["set"], []).append(
            ({"system": fields["start"], "set": fields["set"], "seed": fields.get("seed", "0")}, scores)
        )
    for name, members in groups.items():
        task, part, split = place_of(name)
        for fields, scores in members:
            by_split = accuracies.setdefault((task, part, fields["system"]), {})
            by_split.setdefault(split, {})[int(fields["seed"])] = scores["accuracy"]
        speakers: dict[str, list[float]] = {}
        of_set = []
        for row in classifier_rows(members, common):
            if row.get("speaker") is not None:
                speakers.setdefault(row["system"], []).append(row["value"])
            else:
                of_set.append(row)
        sizes = {scores["n"] for _, scores in members}
        for row in of_set:
            if row["system"] != "majority-class":
                row["start"] = row["system"]
            if row["metric"] == "accuracy" and "start" in row:
                by_seed = accuracies[task, part, row["system"]][split]
                row["values"] = [rounded(by_seed[seed]) for seed in sorted(by_seed)]
            if row["metric"] == "speaker_accuracy":
                of_speakers = speakers[row["system"]]
                row |= {"speakers": len(of_speakers), "lowest": min(of_speakers), "highest": max(of_speakers)}
            # The sum over seeds is no number of utterances.
            row["n"] = max(sizes)
        rows += placed(of_set, {"task": task, "part": part, "split": split})
    for (task, part, start), by_split in accuracies.items():
        shared = sorted(by_split.get(DISJOINT, {}).keys() & by_split.get(RANDOM, {}).keys())
        if shared:
            gaps = [by_split[RANDOM][seed] - by_split[DISJOINT][seed] for seed in shared]
            row = partial(new_row, common, set=f"{task}_{part}", system=start, start=start, metric="leak")
            value = {"value": rounded(np.mean(gaps)), "values": [rounded(gap) for gap in gaps], "seeds": shared}
            rows.append(row(**value, task=task, part=part))
    return rows


def of_its_split(fields: Mapping[str, str]) -> bool:
    """Whether a classifier's `set` is of the split that its `task` was learnt on: accent_random has accent_test_random."""
    task, _, split = place_of(fields["set"])
    return fields["task"] == task + (SUFFIX if split == RANDOM else "")


def place_of(name: str) -> tuple[str, str, str]:
    """Task, part and split that the name of a classifier's set says."""
    task, _, part = name.removesuffix(SUFFIX).rpartition("_")
    return task, part, RANDOM if name.endswith(SUFFIX) else DISJOINT
