#!/usr/bin/env python3
"""Stage 9: what the collection gathered, as rows of results.json."""

import logging
from pathlib import Path

from salience import program
from salience.files import read_json
from salience.scoring.collection_rows import collection_rows
from salience.scoring.results import provenance, read_paper, read_results, replace, run_fields, write_results

logger = logging.getLogger("collect_summary")


def collect_summary(collection: Path, out: Path, corpus: str, command: str, paper: Path | None = None) -> None:
    """Write the rows of a collection into OUT; what it holds of other corpora stays.

    Args:
        collection: collection.json of merge_collection.py.
        out: The recipe's results.json.
        corpus: Name of the corpus in the rows.
        command: The command line that repeats the run.
        paper: YAML file whose `collection` maps accent and metric to the paper's figures.
    """
    told = read_json(collection)
    common = provenance(corpus, told["synthetic"], None, command)
    rows = collection_rows(told, common, read_paper(paper).get("collection"))
    run = {**run_fields(common), "seeds": [], "settings": told["steps"]}
    write_results(out, replace(read_results(out), {"rows": rows, "comparisons": [], "runs": [run]}))
    logger.info("%d rows of the collection are in %s", len(rows), out)


if __name__ == "__main__":
    program.main(collect_summary)
