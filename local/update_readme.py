#!/usr/bin/env python3
"""Write the table of all recipes' results into README.md, from their results.json."""

import logging
from pathlib import Path

from salience import program
from salience.files import whole_file
from salience.report.readme import results_table, with_table

logger = logging.getLogger(Path(__file__).name)


def update_readme(readme: Path = Path("README.md"), recipes: Path = Path("egs")) -> None:
    """Write the table into the README.

    Args:
        readme: Text with the two marks that the table stands between.
        recipes: Folder of the recipes; those with a RESULTS.md have a line each.
    """
    text = with_table(readme.read_text(encoding="utf-8"), results_table(recipes), readme)
    with whole_file(readme) as handle:
        handle.write(text)
    logger.info("the results of %s are in %s", recipes, readme)


if __name__ == "__main__":
    program.main(update_readme)
