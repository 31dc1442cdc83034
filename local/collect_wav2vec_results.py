#!/usr/bin/env python3
"""Collect what recognisers and classifiers on wav2vec 2.0 score, and its pretraining's health, into results.json."""

import logging
from collections.abc import Mapping
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from salience import program
from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import read_json
from salience.scoring.results import (
    Scores,
    comparisons,
    matches,
    only_seeds,
    placed,
    present,
    provenance,
    rate_rows,
    read_paper,
    read_results,
    read_scores,
    replace,
    run_fields,
    write_results,
)
from salience.scoring.wav2vec_rows import (
    RANDOM,
    STARTS,
    VARIANTS,
    health_rows,
    of_its_split,
    pairs,
    place_of,
    system_name,
    task_rows,
)

logger = logging.getLogger(Path(__file__).name)

UNLABELLED = "unlabelled"
"""Of an utterance whose speaker does not say it."""


def collect_wav2vec_results(
    out: Path,
    corpus: str,
    synthetic: bool,
    command: str,
    scores: str | None = None,
    sets: str = "",
    only: str = "",
    genders: str | None = None,
    classifiers: str | None = None,
    tasks: str = "accent gender",
    pretraining: str | None = None,
    recogniser: str = "wav2vec2",
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
        scores: Pattern of the folders that score_words.py wrote, such as
            'exp/recogniser/wav2vec2/{start}/{variant}/seed{seed}/score/{set}'.
        sets: Sets of the recognisers to take, in the order of the tables; all by default.
        only: Starts, variants and seeds of the recognisers to take, such as 'own/plain/1 own/gradcam/1'; all by default.
        genders: Pattern of the tables of each utterance's gender, such as 'data/{set}/utt2gender': with it, error
            rates are also given by gender.
        classifiers: Pattern of the classifiers' scores, such as
            'exp/classifier/{task}/{start}/seed{seed}/wav2vec.{set}.json'.  A set is <task>_<part>; one of the random
            split is <task>_<part>_random and its classifier's task <task>_random: what a classifier of one split
            scores on the other's sets is left out.
        tasks: What classifiers tell apart, in the order of the tables.
        pretraining: Pattern of the histories of pretraining, such as 'exp/pretrained/seed{seed}/history.json'.
        recogniser: Name of the recogniser in the rows.
        paper: YAML file with the paper's figures and what they were measured on.
        settings: What else a reader needs to know of the run.
    """
    common = provenance(corpus, synthetic, recogniser, command)
    known = read_paper(paper)
    rows, compared, absent = [], [], []

    wanted = {system_name(*_start_and_variant(name)): numbers for name, numbers in only_seeds(only).items()}
    here = [system for system in (_systems(scores) if scores is not None else []) if not wanted or system in wanted]
    starts = {_parts(system)["start"] for system in here}
    variants = {_parts(system)["variant"] for system in here}
    for name, systems in (read_scores(scores, here, sets.split(), wanted, _name_of) if here else {}).items():
        found = rate_rows(name, systems, common) + _rows_by_gender(name, systems, common, genders)
        rows += (_with_paper(placed([row], _parts(row["system"]))[0], known) for row in found)
        chosen = pairs(systems)
        against = dict.fromkeys(baseline for _, baseline in chosen)
        compared += (
            item
            for item in comparisons(name, systems, list(against), common)
            if (item["system"], item["against"]) in chosen
        )
    absent += [f"the start {start}" for start in STARTS if start not in starts] if here else ["recognisers"]
    absent += [f"the variant {variant}" for variant in VARIANTS if variant not in variants] if here else []

    rows += _classifier_rows(classifiers, tasks.split(), common)
    for task in tasks.split():
        splits = {row.get("split") for row in rows if row.get("task") == task}
        absent += [] if splits else [f"{task} classifiers"]
        absent += [f"{task} classifiers of the random split"] if splits and RANDOM not in splits else []

    histories = {
        int(fields.get("seed", 0)): (read_json(path), _config(path.parent))
        for fields, path in (matches(pretraining) if pretraining is not None else [])
    }
    rows += health_rows(histories, common) if histories else []
    absent += [] if histories else ["pretraining"]

    if not rows:
        patterns = ", ".join(filter(None, (scores, classifiers, pretraining)))
        raise InputError(f"there is nothing to collect: no file matches {patterns}; run the stages that write them")
    run = {
        **run_fields(common),
        "seeds": sorted({seed for row in rows for seed in row["seeds"]}),
        "settings": {"recogniser": recogniser} | (settings or {}),
        "paper": known,
        "absent": absent,
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


def _name_of(fields: Mapping[str, str]) -> str:
    return system_name(fields["start"], fields["variant"])


def _systems(pattern: str) -> list[str]:
    """The systems that there are scores of: our starts and variants in their order, then others."""
    found = {(fields["start"], fields["variant"]) for fields, _ in matches(pattern)}
    ordered = sorted(found, key=lambda one: (_order(one[0]), _order(one[1])))
    return present(pattern, [system_name(*one) for one in ordered], _name_of)


def _start_and_variant(name: str) -> tuple[str, str]:
    start, _, variant = name.partition("/")
    return start, variant or "plain"


def _order(name: str) -> tuple[int, str]:
    known = STARTS + VARIANTS
    return (known.index(name) if name in known else len(known)), name


def _parts(system: str) -> dict[str, str]:
    start, _, variant = system.partition(" + ")
    return {"start": start, "variant": variant or "plain"}


def _with_paper(row: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the paper's figure, which has one for each start on its whole test."""
    if row["variant"] == "plain" and row["accent"] is row.get("gender") is None:
        kind = "raw" if row["normaliser"].startswith("raw") else "normalised"
        figures = known.get("recognition", {}).get(row["start"], {}).get(row["metric"], {})
        row["paper"] = figures.get(kind)
    return row


def _rows_by_gender(
    name: str, systems: Mapping[str, Scores], common: Mapping[str, Any], pattern: str | None
) -> list[dict[str, Any]]:
    path = Path(pattern.replace("{set}", name)) if pattern is not None else None
    if path is None or not path.exists():
        return []
    table = read_table(path)
    grouped = {
        system: replace_fields(scores, accents=[table.get(key, UNLABELLED) for _, key in scores.ids])
        for system, scores in systems.items()
    }
    found = rate_rows(name, grouped, common)
    return [{**row, "accent": None, "gender": row["accent"]} for row in found if row["accent"] is not None]


def _classifier_rows(pattern: str | None, tasks: list[str], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for fields, path in matches(pattern) if pattern is not None else []:
        if of_its_split(fields) and place_of(fields["set"])[0] in tasks:
            found.append((fields, read_json(path)))
    found.sort(
        key=lambda one: (
            tasks.index(place_of(one[0]["set"])[0]),
            one[0]["set"],
            _order(one[0]["start"]),
            int(one[0].get("seed", 0)),
        )
    )
    return task_rows(found, common)


def _config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json") if (folder / "config.json").exists() else {}


if __name__ == "__main__":
    program.main(collect_wav2vec_results)
