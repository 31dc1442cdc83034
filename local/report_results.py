#!/usr/bin/env python3
"""Render results.json as RESULTS.md, its details and a page."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import page, render, sections
from salience.scoring.results import read_results
from salience.scoring.specification import read_specification

logger = logging.getLogger(Path(__file__).name)

EXAMPLES = 30


def report_results(
    report: Path,
    results: Path,
    out: Path,
    html: Path | None = None,
    figures: Path | None = None,
    examples: Path | None = None,
    corpus: str | None = None,
) -> None:
    """Write RESULTS.md, RESULTS_details.md and a page with figures; print the finding and the main table.

    Args:
        report: The recipe's conf/report.yaml, which says what is shown.
        results: The recipe's results.json.
        out: RESULTS.md to write; the details go beside it.
        html: Page to write, with all figures in it.
        figures: Folder of PNG files for the page, captioned by their names.
        examples: An alignments file of score_words.py; the page shows its first erroneous lines.
        corpus: Corpus whose main table is printed; by default the one that the report shows first.
    """
    wanted = read_specification(report)
    if not results.exists():
        raise InputError(f"{results} does not exist; run the scoring stage, which writes it", results)
    collected = read_results(results)
    found = sections.report(collected, wanted)
    intro = _read(wanted.beside(wanted.intro), f"intro in {report}") if wanted.intro else ""
    details = out.with_name(f"{out.stem}_details{out.suffix}")
    for path, text in ((out, render.markdown(found)), (details, render.details(found, intro))):
        with whole_file(path) as handle:
            handle.write(text)
    if html is not None:
        pictures = {p.stem.replace("_", " "): p for p in sorted(figures.glob("*.png"))} if figures is not None else {}
        lines = _read(examples, "--examples").splitlines() if examples is not None else []
        shown = [line for line in lines if "->" in line][:EXAMPLES]
        with whole_file(html) as handle:
            handle.write(page.html(found, collected["rows"], wanted.metric, intro, pictures, shown))
        logger.info("the report is %s", html.resolve())
    print("\n" + render.terminal(found, corpus))
    print("\n" + "\n".join(str(path) for path in (out, details, *([html.resolve()] if html is not None else []))))


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; correct {option}") from None


if __name__ == "__main__":
    program.main(report_results)
