#!/usr/bin/env python3
"""Collect the scores of all systems into results.json."""

import logging
from pathlib import Path
from typing import Any

from salience import program
from salience.data.tables import iterate_table
from salience.errors import InputError
from salience.files import read_json
from salience.scoring.results import (
    classifier_rows,
    comparisons,
    find,
    only_seeds,
    provenance,
    rate_rows,
    read_paper,
    read_results,
    read_scores,
    replace,
    run_fields,
    share_rows,
    write_results,
)

logger = logging.getLogger(Path(__file__).name)


def collect_results(
    out: Path,
    corpus: str,
    synthetic: bool,
    command: str,
    scores: str | None = None,
    recogniser: str | None = None,
    only: str = "",
    sets: str = "",
    against: str = "plain specaugment",
    classifier: str | None = None,
    masked_shares: str | None = None,
    paper: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write rows, comparisons and the run that made them into OUT.

    What OUT already holds of the same corpus, synthetic or not as now, is
    replaced; the rest stays.  Patterns have placeholders in braces.

    Args:
        out: The recipe's results.json.
        corpus: Name of the corpus in the rows.
        synthetic: Whether the audio is synthetic.
        command: The command line that repeats the run.
        scores: Pattern of the folders that score_words.py wrote, such as
            'exp/recogniser/whisper/{system}/seed{seed}/score/{set}'; a {fold} in it is pooled.
        recogniser: Name of the recogniser in the rows.
        only: Systems and seeds to take, in the order of the tables, such as 'zero-shot/0 plain/1 plain/2'; all by
            default.
        sets: Sets to take, in the order of the tables; all by default.
        against: Baselines that each trained system is compared with.
        classifier: Pattern of the classifiers' metrics.json, with {system}, perhaps {set}, {fold} and {seed}.
        masked_shares: Pattern of tables of each utterance's masked share (0 to 1), with {system}, perhaps
            {set}, {fold} and {job}.
        paper: YAML file whose `figures` map system, set and metric to the paper's figures.
        settings: What else a reader needs to know of the run.
    """
    common = provenance(corpus, synthetic, recogniser, command)
    rows, compared, all_seeds = [], [], set()
    if scores is not None:
        figures = read_paper(paper).get("figures")
        wanted = only_seeds(only)
        for name, of_systems in read_scores(scores, list(wanted), sets.split(), wanted).items():
            rows += rate_rows(name, of_systems, common, figures)
            compared += comparisons(name, of_systems, against.split(), common)
            all_seeds |= {seed for one in of_systems.values() for seed in one.seeds}
    if classifier is not None:
        rows += classifier_rows([(fields, read_json(path)) for fields, path in find(classifier)], common)
    if masked_shares is not None:
        shares: dict[tuple[str, str], dict[str, float]] = {}
        for fields, path in find(masked_shares):
            found = shares.setdefault((fields.get("system", ""), fields.get("set", "train")), {})
            for key, share in _shares(path).items():
                found[f"{fields.get('fold', '')} {key}"] = share
        rows += share_rows(shares, common)
    if not rows:
        raise InputError("there is nothing to collect; give --scores, --classifier or --masked-shares")
    run = {**run_fields(common), "seeds": sorted(all_seeds), "settings": settings or {}}
    write_results(out, replace(read_results(out), {"rows": rows, "comparisons": compared, "runs": [run]}))
    logger.info("%d rows and %d comparisons of %s are in %s", len(rows), len(compared), corpus, out)


def _shares(path: Path) -> dict[str, float]:
    shares = {}
    for number, key, value in iterate_table(path):
        try:
            shares[key] = float(value)
        except ValueError:
            raise InputError(
                f"{path}:{number}: the masked share of {key} is no number; run the masking stage again"
            ) from None
    return shares


if __name__ == "__main__":
    program.main(collect_results)
