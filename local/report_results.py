#!/usr/bin/env python3
"""Render results.json as RESULTS.md, its details and a page."""

import logging
from dataclasses import replace
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import page, render, sections
from salience.report.charts import Drawing, drawn
from salience.report.utterances import UTTERANCES, Gallery
from salience.scoring.results import read_results
from salience.scoring.specification import called_by_kind, read_specification

logger = logging.getLogger(Path(__file__).name)


def report_results(
    report: Path,
    results: Path,
    out: Path,
    html: Path | None = None,
    corpus: str | None = None,
    values: dict[str, str] | None = None,
    only: str = "",
    examples: int = 24,
) -> None:
    """Write RESULTS.md, RESULTS_details.md and a page; print the finding and the main table.

    Args:
        report: The recipe's conf/report.yaml, which says what is shown.
        results: The recipe's results.json.
        out: RESULTS.md to write; the details go beside it.
        html: Page to write, with everything in it.
        corpus: Corpus whose main table is printed, and of whose run `values` are; by default the one that the report
            shows first.
        values: What stands in the places of patterns, as for collect_results.py; what has none is not in the page.
        only: Systems and seeds whose trainings and hypotheses the page shows, such as 'plain/1'; all by default.
        examples: At most this many utterances with pictures and sound.
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
        of_run = Drawing(corpus or "", found.synthetic, collected["rows"], values or {}, only)
        charts = {}
        for section in found.sections:
            drawing = of_run if corpus in (None, section.corpus) else replace(of_run, values={})
            drawing = replace(drawing, corpus=section.corpus)
            charts[section.corpus] = drawn(drawing, wanted)
        gallery = Gallery(of_run, examples)
        for entry in wanted.utterances:
            called_by_kind(UTTERANCES, entry, f"{report}: utterances", gallery)
        with whole_file(html) as handle:
            handle.write(page.html(found, collected["rows"], wanted.metric, intro, charts, gallery.shown()))
        logger.info("the report is %s", html.resolve())
    print("\n" + render.terminal(found, corpus))
    print("\n" + "\n".join(str(path.resolve()) for path in (out, details, *([html] if html is not None else []))))


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; correct {option}") from None


if __name__ == "__main__":
    program.main(report_results)
