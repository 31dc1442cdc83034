#!/usr/bin/env python3
"""Render results.json as RESULTS.md and as a page, and print the main tables."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import render
from salience.report.cells import distinct
from salience.report.figures import rate_bars
from salience.report.sections import sections
from salience.report.tables import Table, plain_text
from salience.scoring.results import read_results
from salience.scoring.specification import read_specification, select

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
        figures: Folder of PNG files for the page, captioned by their names; bars of error rates are drawn into it.
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
        if figures is not None:
            draw_rate_bars(found, wanted.metric, figures)
        pictures = {p.stem.replace("_", " "): p for p in sorted(figures.glob("*.png"))} if figures is not None else {}
        lines = _read(examples, "--examples").splitlines() if examples is not None else []
        shown = [line for line in lines if "->" in line][:EXAMPLES]
        with whole_file(html) as handle:
            handle.write(render.html(parts, wanted.title, intro, pictures, shown))
        logger.info("the report is %s", html.resolve())
    for part in parts:
        if corpus in (None, part.corpus) and synthetic in (None, part.synthetic):
            print(f"\n{part.corpus}, {'SYNTHETIC speech' if part.synthetic else 'real speech'}")
            for block in part.main:
                print("\n" + (plain_text(block) if isinstance(block, Table) else block.plain_text()))
    print(f"\n{out}" + (f"\n{html.resolve()}" if html is not None else ""))


def draw_rate_bars(results: dict[str, list], metric: str, folder: Path) -> None:
    """Draw bars of the error rates of each corpus, under each normaliser, where it has no pictures of its own."""
    alone = {"metric": ["wer", "cer"], "accent": None, "snr": None, "weight": None, "start": None}
    rows = [row for row in select(results["rows"], alone) if row["metric"] == metric]
    for corpus, synthetic in dict.fromkeys((row["corpus"], row["synthetic"]) for row in rows):
        mine = select(rows, {"corpus": corpus, "synthetic": synthetic})
        normalisers = distinct(mine, "normaliser")
        for name in normalisers:
            systems: dict[str, dict[str, tuple[float, float, float]]] = {}
            for row in select(mine, {"normaliser": name}):
                systems.setdefault(row["system"], {})[row["set"]] = (row["value"], row["low"], row["high"])
            kind = "raw" if name.startswith("raw") else "normalised" if name == normalisers[-1] else name.split()[0]
            label = f"{corpus.replace(' ', '_')}{'_synthetic' if synthetic else ''}"
            path = folder / f"{metric}_{label}_{kind}.png"
            words = f"{metric.upper()} (%), {name}", f"{corpus}, with 95 % intervals", synthetic
            rate_bars(distinct(mine, "set"), systems, path, *words)


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; correct {option}") from None


if __name__ == "__main__":
    program.main(report_results)
