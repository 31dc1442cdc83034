#!/usr/bin/env python3
"""Collect the scores of a run into results.json, as the recipe's report.yaml says."""

import logging
from pathlib import Path
from typing import Any

from salience import program
from salience.errors import InputError
from salience.files import read_yaml
from salience.scoring.claims import attach_claim, read_claims
from salience.scoring.results import provenance, read_results, replace, run_fields, write_results
from salience.scoring.sources import SOURCES, Run
from salience.scoring.specification import called_by_kind, read_specification

logger = logging.getLogger(Path(__file__).name)


def collect_results(
    report: Path,
    out: Path,
    corpus: str,
    synthetic: bool,
    command: str,
    values: dict[str, str] | None = None,
    only: str = "",
    recogniser: str | None = None,
    paper: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write rows, comparisons and the run that made them into OUT.

    What OUT already holds of the same corpus, synthetic or not as now, is
    replaced; the rest stays.  A part that the run did not make is left out,
    and the report says which.

    Args:
        report: The recipe's conf/report.yaml: its `scores` say what is collected, in patterns of paths.
        out: The recipe's results.json.
        corpus: Name of the corpus in the rows.
        synthetic: Whether the audio is synthetic.
        command: The command line that repeats the run.
        values: What stands in the places of patterns: of `$name` the text, of a placeholder {name} the words that it
            stands for, such as --values.exp exp/mini --values.seed '1 2'.  Entries without a value are left out.
        only: Systems and seeds of the error rates to take, in the order of the tables, such as 'zero-shot/0 plain/1
            plain/2'; all by default.
        recogniser: Name of the recogniser in the rows.
        paper: YAML file with the paper's figures, instead of the one that the report names; an empty one has none.
        settings: What else a reader needs to know of the run.
    """
    wanted = read_specification(report)
    claims = read_claims([wanted.path.parent / name for name in wanted.claims])
    run = Run(
        provenance(corpus, synthetic, recogniser, command),
        values or {},
        only,
        pairs=[pair for claim in claims for pair in claim.pairs()],
        gaps=wanted.gaps,
    )
    paper = paper or wanted.beside(wanted.paper)
    if paper is not None and not synthetic:
        run.paper = read_yaml(paper, "correct the paper's figures") or {}
    for entry in wanted.scores_of(run.values):
        called_by_kind(SOURCES, entry, f"{report}: scores").collect(run)
    if not run.rows:
        raise InputError(f"there is nothing to collect: no file matches the scores of {report}; run the scoring stage")
    normalisers = [row["normaliser"] for row in run.rows if row["metric"] == wanted.metric]
    judged_by = {"metric": wanted.metric, "normaliser": normalisers[-1] if normalisers else None}
    compared = {(item["system"], item["against"], item["set"]) for item in run.comparisons}
    for claim in claims:
        # A run of other systems, or on other sets, such as one that chooses settings, says nothing of the claim.
        if not compared.isdisjoint(claim.triples()):
            run.rows += attach_claim(claim, run.comparisons, judged_by, run.common)
    record = {
        **run_fields(run.common),
        "seeds": sorted({seed for row in run.rows if row["metric"] == wanted.metric for seed in row["seeds"]}),
        "settings": settings or {},
        "judged_by": judged_by,
        "absent": run.absent,
        **run.facts,
    }
    new = {"rows": run.rows, "comparisons": run.comparisons, "runs": [record]}
    write_results(out, replace(read_results(out), new))
    lacking = f"; not there: {', '.join(run.absent)}" if run.absent else ""
    logger.info(
        "%d rows and %d comparisons of %s are in %s%s", len(run.rows), len(run.comparisons), corpus, out, lacking
    )


if __name__ == "__main__":
    program.main(collect_results)
