#!/usr/bin/env python3
"""Show several experiments of one recipe in one page: compare_reports.py A/results.json B/results.json ..."""

import logging
from dataclasses import replace
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import page
from salience.report.charts import Drawing, drawn
from salience.report.experiments import compared
from salience.scoring.specification import read_specification

logger = logging.getLogger(Path(__file__).name)


def compare_reports(
    results: list[Path], report: Path = Path("conf/report.yaml"), out: Path = Path("exp/report/comparison.html")
) -> None:
    """Write one page with the charts and tables of several results.json, each system once for each experiment.

    An experiment is called after the folder of its results.json.

    Args:
        results: Each experiment's results.json.
        report: The recipe's conf/report.yaml; by default that of the folder where this is called.
        out: Page to write.
    """
    for path in results:
        if not path.exists():
            raise InputError(f"{path} does not exist; name the results.json of an experiment")
    wanted = read_specification(report)
    found, rows = compared(results, wanted)
    drawing = Drawing(synthetic=found.synthetic, rows=rows)
    charts = {one.corpus: drawn(replace(drawing, corpus=one.corpus), wanted) for one in found.sections}
    with whole_file(out) as handle:
        handle.write(page.html(found, rows, wanted.metric, charts=charts))
    logger.info("the comparison is %s", out.resolve())


if __name__ == "__main__":
    program.main(compare_reports, first="results")
