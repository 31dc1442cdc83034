"""The README's table: what each recipe has measured on real speech, in a line."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.report.cells import NONE, rate
from salience.report.findings import ALL
from salience.report.render import markdown_text
from salience.report.sections import parts_of, planned, report
from salience.scoring.results import read_results
from salience.scoring.specification import Row, Specification, called, read_specification, select

BEGIN, END = "<!-- results: written by local/update_readme.py -->", "<!-- end of the results -->"


def results_table(recipes: Path) -> str:
    """The table of all recipes that have a RESULTS.md, as Markdown.

    Args:
        recipes: Folder of the recipes.
    """
    lines = ["| recipe | measure | real speech | paper | what came out |", "|---|---|---|---|---|"]
    for path in sorted(recipes.glob("*/RESULTS.md")):
        cells = _line(path.parent)
        lines.append(
            f"| [{path.parent.name}](egs/{path.parent.name}/RESULTS.md) | {' | '.join(map(markdown_text, cells))} |"
        )
    return "\n".join(lines)


def _line(recipe: Path) -> list[str]:
    wanted = read_specification(recipe / "conf/report.yaml")
    return called(_cells, wanted.summary, f"{wanted.path}: summary", wanted, read_results(recipe / "results.json"))


def _cells(
    wanted: Specification, results: Mapping[str, Sequence[Row]], measured: str, where: Mapping[Any, Any]
) -> list[str]:
    """What is measured, our figure, the paper's, and one sentence without what stands in brackets in RESULTS.md."""
    found: list[Row] = []
    for part in (*parts_of(results, wanted)[1], planned(wanted)):
        found += select(part.rows, part.resolved({**ALL, "normaliser": [part.normaliser, None], **where}))
    figures = (found[0].get(name) if found else None for name in ("value", "paper"))
    said = re.split(r"(?<=\.) (?=[A-Z])", " ".join(report(results, wanted).finding))[0]
    short = re.sub(r" \([^()]*\)", "", said)
    return [measured, *(NONE if value is None else f"{rate(value)} %" for value in figures), short]


def with_table(text: str, table: str, path: Path) -> str:
    """A text with the table put between its two marks."""
    parts = re.split(f"({re.escape(BEGIN)}\n|{re.escape(END)})", text)
    if len(parts) != 5:
        raise InputError(f"{path} lacks the lines {BEGIN} and {END}; put them where the table of results is wanted")
    return "".join([*parts[:2], f"\n{table}\n\n", *parts[3:]])
