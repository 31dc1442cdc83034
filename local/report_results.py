#!/usr/bin/env python3
"""Render results.json as RESULTS.md and as a page, and print the main tables."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import page, render
from salience.report.sections import sections
from salience.report.tables import Table, plain_text
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
    synthetic: bool | None = None,
) -> None:
    """Write RESULTS.md and a page with figures; print the main tables as the last thing.

    Args:
        report: The recipe's conf/report.yaml, which says what is shown.
        results: The recipe's results.json.
        out: RESULTS.md to write.
        html: Page to write, with all figures in it.
        figures: Folder of PNG files for the page, captioned by their names.
        examples: An alignments file of score_words.py; the page shows its first erroneous lines.
        corpus: Print only this corpus's tables.
        synthetic: Print only tables of synthetic speech, or only of real speech.
    """
    wanted = read_specification(report)
    found = read_results(results)
    if not found["rows"]:
        raise InputError(f"{results} holds no rows; run the scoring stage, which writes it")
    parts = sections(found, wanted)
    intro = _read(wanted.beside(wanted.intro), f"intro in {report}") if wanted.intro else ""
    with whole_file(out) as handle:
        handle.write(render.markdown(parts, wanted.title, intro))
    if html is not None:
        pictures = {p.stem.replace("_", " "): p for p in sorted(figures.glob("*.png"))} if figures is not None else {}
        lines = _read(examples, "--examples").splitlines() if examples is not None else []
        shown = [line for line in lines if "->" in line][:EXAMPLES]
        with whole_file(html) as handle:
            handle.write(page.html(parts, found["rows"], wanted.title, wanted.metric, intro, (), pictures, shown))
        logger.info("the report is %s", html.resolve())
    for part in parts:
        if corpus in (None, part.corpus) and synthetic in (None, part.synthetic):
            print(f"\n{part.corpus}, {'SYNTHETIC speech' if part.synthetic else 'real speech'}")
            for block in part.main:
                print("\n" + (plain_text(block) if isinstance(block, Table) else block.plain_text()))
    print(f"\n{out}" + (f"\n{html.resolve()}" if html is not None else ""))


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; correct {option}") from None


if __name__ == "__main__":
    program.main(report_results)
