#!/usr/bin/env python3
"""Collect the scores, noise proportions and masks of a bubble cooperative network into results.json."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salience import program
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.scoring.noise_masks import (
    Proportions,
    frequency_importance,
    importance_rows,
    proportion_rows,
    read_proportions,
)
from salience.scoring.results import (
    comparisons,
    matches,
    placed,
    present,
    provenance,
    rate_rows,
    read_paper,
    read_results,
    read_scores,
    replace,
    run_fields,
    split,
    write_results,
)

logger = logging.getLogger(Path(__file__).name)

CONDITIONS = ("clean", "masked-noise", "noise-alone", "full-noise")
BY_DEFINITION = {"clean": 0.0, "full-noise": 1.0}
"""Noise proportions that need no mask."""
RECOGNISERS = ("baseline", "retrain-clean", "retrain-everywhere", "retrain-spared")
WEIGHTS = ("asr", "mask", "entropy", "smoothness")
"""Terms of the loss in the order of equations 3 and 4, which is that of the paper's Figure 2."""
METRIC = "cer"
"""What AN4 is judged by, on raw text: the space is a token like any letter."""


def collect_bubble_results(
    out: Path,
    corpus: str,
    synthetic: bool,
    command: str,
    scores: str,
    proportions: str,
    recogniser: str = "listener",
    frames: str | None = None,
    retrained: str | None = None,
    sweeps: str | None = None,
    sweep_proportions: str | None = None,
    masks: str | None = None,
    paper: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write rows, comparisons and the run that made them into OUT.

    What OUT already holds of the same corpus, synthetic or not as now, is
    replaced; the rest stays.  Patterns have placeholders in braces.  A part
    that a run did not make is left out, and the report says which.

    Args:
        out: The recipe's results.json.
        corpus: Name of the corpus in the rows.
        synthetic: Whether the audio is synthetic.
        command: The command line that repeats the run.
        scores: Pattern of the folders that score_words.py wrote for the conditions clean, masked-noise,
            noise-alone (without the speech) and full-noise, such as 'exp/score/{system}/seed{seed}/draw{draw}/{set}'.
        proportions: Pattern of the tables of noise proportions, with {system}, {seed}, {draw} and {set}.
        recogniser: Name of the recogniser in the rows.
        frames: Pattern of the tables of frames, such as 'dump/{set}/utt2num_frames': with it, noise
            proportions are of all points of a set together, else means over utterances.
        retrained: Pattern of the folders of the retrained recognisers' scores, with {system}, {seed}, {snr}
            and {set}.
        sweeps: Pattern of the folders of the sweeps' scores, with {weight}, {value}, {seed} and {set}.
        sweep_proportions: Pattern of the sweeps' tables of noise proportions, with the same.
        masks: Pattern of the masks' scp files with {seed}, perhaps {set}; importance is averaged over them.
        paper: YAML file with the paper's `figures`, our `aims` and what the paper says of `importance`.
        settings: What else a reader needs to know of the run.
    """
    common = provenance(corpus, synthetic, recogniser, command)
    known = read_paper(paper)
    figures = known.get("figures")
    counts = _frames(frames)
    absent = []

    rows, compared = [], []
    conditions = read_scores(scores, present(scores, CONDITIONS))
    if not any(conditions.values()):
        raise InputError(f"no scores match {scores}; run the scoring stage, which writes them")
    for name, systems in conditions.items():
        rows += rate_rows(name, systems, common, figures)
        compared += comparisons(name, systems, ["clean"], common)
        # What the speech adds to its mask.
        with_speech = comparisons(name, systems, ["masked-noise"], common)
        compared += [item for item in with_speech if item["system"] == "noise-alone"]
    absent += [f"the condition {name}" for name in CONDITIONS if name not in {row["system"] for row in rows}]
    normaliser = rows[0]["normaliser"]
    measured = read_proportions(proportions)
    for name, systems in measured.items():
        rows += proportion_rows(name, _with_definitions(systems), common, counts.get(name), figures)
    absent += [] if measured else ["noise proportions"]

    noisy = split(retrained, "snr") if retrained is not None else []
    for place, pattern in noisy:
        for name, systems in read_scores(pattern, present(pattern, RECOGNISERS)).items():
            rows += placed(rate_rows(name, systems, common), place)
            found = comparisons(name, systems, RECOGNISERS[2::-1], common)
            compared += placed((item for item in found if item["system"] == RECOGNISERS[-1]), place)
    absent += [] if any(row["snr"] is not None for row in rows) else ["retrained recognisers"]

    swept = split(sweeps, "weight", "value") if sweeps is not None else []
    swept.sort(key=lambda part: WEIGHTS.index(part[0]["weight"]) if part[0]["weight"] in WEIGHTS else len(WEIGHTS))
    for place, pattern in swept:
        for name, systems in read_scores(pattern).items():
            rows += placed(rate_rows(name, {"masked-noise": systems[""]}, common), _weight(place))
    for place, pattern in split(sweep_proportions, "weight", "value") if swept and sweep_proportions else []:
        for name, systems in read_proportions(pattern).items():
            found = proportion_rows(name, {"masked-noise": systems[""]}, common, counts.get(name))
            rows += placed(found, _weight(place))
    absent += [] if any("weight" in row for row in rows) else ["sweeps of the weights"]

    spared: dict[str, dict[int, Any]] = {}
    for fields, path in matches(masks) if masks is not None else []:
        archive = Archive(path)
        importance = frequency_importance(archive.values())
        spared.setdefault(fields.get("set", path.parent.name), {})[int(fields.get("seed", 0))] = importance
    for name, seeds in spared.items():
        rows += importance_rows(name, "masked-noise", dict(sorted(seeds.items())), common)
    absent += [] if spared else ["masks"]

    _attach_aims(known.get("aims", []), rows, compared, normaliser)
    run = {
        **run_fields(common),
        "seeds": sorted({seed for row in rows if row["metric"] == METRIC for seed in row["seeds"]}),
        "settings": settings or {},
        "judged_by": {"metric": METRIC, "normaliser": normaliser},
        "absent": absent,
        "importance_note": known.get("importance"),
    }
    write_results(out, replace(read_results(out), {"rows": rows, "comparisons": compared, "runs": [run]}))
    logger.info(
        "%d rows and %d comparisons of %s are in %s%s",
        len(rows),
        len(compared),
        corpus,
        out,
        f"; not there: {', '.join(absent)}" if absent else "",
    )


def _with_definitions(systems: Mapping[str, Mapping[int, Proportions]]) -> dict[str, Mapping[int, Proportions]]:
    """The conditions in the order of the table, with the proportions of those that need no mask."""
    some = next(iter(systems.values()))
    fixed = {
        system: {seed: dict.fromkeys(shares, (share, share)) for seed, shares in some.items()}
        for system, share in BY_DEFINITION.items()
    }
    return {name: fixed.get(name) or systems[name] for name in CONDITIONS if name in fixed or name in systems}


def _weight(place: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(place["value"], (int, float)):
        raise InputError(
            f"the sweep of {place['weight']} has a value {place['value']!r}, which is no number; remove its folder"
        )
    return {"weight": place["weight"], "weight_value": place["value"]}


def _frames(pattern: str | None) -> dict[str, dict[str, int]]:
    found = {}
    for fields, path in matches(pattern) if pattern is not None else []:
        table = read_table(path)
        if not all(value.isdecimal() for value in table.values()):
            raise InputError(f"{path} holds something else than numbers of frames; run the feature stage again")
        found[fields["set"]] = {key: int(value) for key, value in table.items()}
    return found


def _attach_aims(
    aims: list[dict[str, Any]], rows: list[dict[str, Any]], compared: list[dict[str, Any]], normaliser: str
) -> None:
    """Write each aim into the row or comparison that it is about."""
    for place, aim in enumerate(aims):
        wanted = {key: aim[key] for key in ("system", "against", "set", "metric") if key in aim}
        for item in compared if "against" in aim else rows:
            if (
                wanted.items() <= item.items()
                and item["normaliser"] in (normaliser, None)
                and item.get("snr") is item.get("accent") is item.get("weight") is None
            ):
                item["aim"] = {"place": place, **{key: aim[key] for key in aim if key not in wanted}}


if __name__ == "__main__":
    program.main(collect_bubble_results)
