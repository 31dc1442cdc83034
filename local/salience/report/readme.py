"""The README's table: what each recipe has measured on real speech, in a line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.report.cells import NONE, rate
from salience.report.findings import ALL
from salience.report.render import markdown_text
from salience.report.sections import parts_of, planned, report
from salience.scoring.results import read_results
from salience.scoring.specification import called, read_specification, select

BEGIN, END = "<!-- results: written by local/update_readme.py -->", "<!-- end of the results -->"


@dataclass(frozen=True)
class Summary:
    """A recipe's line.

    Args:
        measured: What is measured, in words.
        where: The row that has it.
    """

    measured: str
    where: Mapping[Any, Any] = field(default_factory=dict)


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
    results = read_results(recipe / "results.json")
    summary = called(Summary, wanted.summary, f"{wanted.path}: summary")
    parts = [*parts_of(results, wanted)[1], planned(wanted)]
    found = [row for part in parts for row in select(part.rows, part.resolved(_condition(summary, part.normaliser)))]
    figures = (found[0].get(name) if found else None for name in ("value", "paper"))
    # One sentence, without what stands in brackets: RESULTS.md has the intervals and the seeds.
    said = re.split(r"(?<=\.) (?=[A-Z])", " ".join(report(results, wanted).finding))[0]
    short = re.sub(r" \([^()]*\)", "", said)
    return [summary.measured, *(NONE if value is None else f"{rate(value)} %" for value in figures), short]


def _condition(summary: Summary, normaliser: str | None) -> dict[Any, Any]:
    return {**ALL, "normaliser": [normaliser, None], **summary.where}


def with_table(text: str, table: str, path: Path) -> str:
    """A text with the table put between its two marks."""
    parts = re.split(f"({re.escape(BEGIN)}\n|{re.escape(END)})", text)
    if len(parts) != 5:
        raise InputError(f"{path} lacks the lines {BEGIN} and {END}; put them where the table of results is wanted")
    return "".join([*parts[:2], f"\n{table}\n\n", *parts[3:]])
