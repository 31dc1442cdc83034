"""How healthy pretraining was at its end, as result rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from salience.errors import InputError
from salience.scoring.results import new_row, rounded

PRETRAINED = "own"
"""What the recipe calls the model that it pretrained."""


def health_rows(
    histories: Mapping[int, tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]],
    common: Mapping[str, Any],
    paper: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Make rows of how healthy pretraining was: the mean over seeds, and in `values` that of each.

    Rows with an `epoch`, counted through all phases, are of the dev score
    after it, all others of the last one.  The rows of `code_perplexity` say
    between which bounds it lies, `least` and `most`.
    `contrastive_accuracy_kept` is that of the epoch whose weights are used.

    Args:
        histories: {seed: (history, the model's configuration)}.
        common: What all rows have in common.
        paper: The paper's figure of a metric.
    """
    found: dict[tuple[str, int | None], list[float]] = {}
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
        for epoch, entry in enumerate(scored, 1):
            for metric, value in _health(entry).items():
                found.setdefault((metric, epoch), []).append(value)
        at_end = {**_health(last), "contrastive_accuracy_kept": 100 * kept["eval_dev_accuracy"]}
        for metric, value in at_end.items():
            found.setdefault((metric, None), []).append(value)
    config = next((config for _, config in histories.values()), {})
    books = config.get("num_codevector_groups")
    bounds = {"least": books, "most": books and books * config["num_codevectors_per_group"]}
    return [
        new_row(
            common,
            system=PRETRAINED,
            start=PRETRAINED,
            recogniser=common["recogniser"],
            paper=None if epoch else (paper or {}).get(metric),
            metric=metric,
            value=round(np.mean(values)) if metric == "updates" else rounded(np.mean(values)),
            values=[rounded(value) for value in values],
            seeds=sorted(histories),
            **(bounds if metric == "code_perplexity" else {}),
            **({"epoch": epoch} if epoch else {}),
        )
        for (metric, epoch), values in found.items()
        if len(values) == len(histories)
    ]


def _health(entry: Mapping[str, Any]) -> dict[str, float]:
    """What a dev score says of the model."""
    return {
        "contrastive_accuracy": 100 * entry["eval_dev_accuracy"],
        "contrastive_chance": 100 * entry["eval_dev_chance"],
        "code_perplexity": entry["eval_dev_perplexity"],
        "frame_cosine": entry["eval_dev_frame_cosine"],
        "masked_frames": 100 * entry["eval_dev_masked_share"],
        "pretraining_loss": entry["eval_train_loss"],
        "updates": entry.get("update", entry["step"]),
    }
