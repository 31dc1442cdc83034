#!/usr/bin/env python3
"""Draw the figures of a run, as the recipe's report.yaml says."""

import logging
from pathlib import Path

from salience import program
from salience.report import utterance_figures  # noqa: F401 - it registers its kinds
from salience.report.figures import FIGURES, Drawing
from salience.scoring.results import read_results
from salience.scoring.specification import called_by_kind, read_specification

logger = logging.getLogger(Path(__file__).name)


def draw_figures(
    report: Path,
    out: Path,
    synthetic: bool,
    results: Path,
    corpus: str,
    values: dict[str, str] | None = None,
    only: str = "",
) -> None:
    """Write PNG files into OUT; what there is nothing to draw of is left out.

    Args:
        report: The recipe's conf/report.yaml: its `figures` say what is drawn.
        out: Folder for the PNG files.
        synthetic: Whether the audio is synthetic; the titles say so.
        results: The recipe's results.json, as collect_results.py wrote it.
        corpus: The corpus whose rows are drawn.
        values: What stands in the places of patterns, as for collect_results.py.
        only: Systems and seeds whose trainings are drawn, such as 'plain/1 plain/2'; all by default.
    """
    drawing = Drawing(out, synthetic, corpus, read_results(results)["rows"], values or {}, only)
    for entry in read_specification(report).figures:
        called_by_kind(FIGURES, entry, f"{report}: figures", drawing)
    logger.info("the figures are in %s", out)


if __name__ == "__main__":
    program.main(draw_figures)
