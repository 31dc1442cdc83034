#!/usr/bin/env python3
"""Render results.json as RESULTS.md and as a page, and print the main table."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.report import command_tables, render
from salience.report.figures import rate_bars
from salience.report.tables import Section, plain_text, sections
from salience.scoring.results import read_results

logger = logging.getLogger(Path(__file__).name)


def report_results(
    results: Path,
    out: Path,
    html: Path | None = None,
    figures: Path | None = None,
    examples: Path | None = None,
    title: str = "Results",
    intro: Path | None = None,
    corpus: str | None = None,
    synthetic: bool | None = None,
) -> None:
    """Write RESULTS.md and a page with figures; print the main tables as the last thing.

    Args:
        results: The recipe's results.json.
        out: RESULTS.md to write.
        html: Page to write, with all figures in it.
        figures: Folder of PNG files for the page, captioned by their names; bars of error rates are drawn
            into it.
        examples: An alignments file of score_words.py; the page shows its first erroneous lines.
        title: Title of both.
        intro: Markdown file whose text comes first.
        corpus: Print only this corpus's tables.
        synthetic: Print only tables of synthetic speech, or only of real speech.
    """
    found = read_results(results)
    if not found["rows"]:
        raise InputError(f"{results} holds no rows; run the scoring stage, which writes it")
    parts = sections(found)
    text = _read(intro, "--intro") if intro is not None else ""
    with whole_file(out) as handle:
        handle.write(render.markdown(parts, title, text))
    if html is not None:
        pictures: dict[str, Path] = {}
        if figures is not None:
            _draw_bars(found["rows"], found["runs"], parts, figures)
            pictures = {p.stem.replace("_", " "): p for p in sorted(figures.glob("*.png"))}
        lines = _read(examples, "--examples").splitlines() if examples is not None else []
        with whole_file(html) as handle:
            handle.write(render.html(parts, title, text, pictures, [line for line in lines if "->" in line][:EXAMPLES]))
        logger.info("the report is %s", html.resolve())
    for part in parts:
        if corpus in (None, part.corpus) and synthetic in (None, part.synthetic):
            print(f"\n{part.corpus}, {'SYNTHETIC speech' if part.synthetic else 'real speech'}")
            for table in part.main:
                print(f"\n{plain_text(table)}")
            if part.statement:
                print("\n" + "\n".join(part.statement))
    print(f"\n{out}" + (f"\n{html.resolve()}" if html is not None else ""))


EXAMPLES = 30


def _draw_bars(rows: list[dict], runs: list[dict], parts: list[Section], folder: Path) -> None:
    for part in parts:
        metric = "wer"
        for run in runs:
            if (run["corpus"], run["synthetic"]) == (part.corpus, part.synthetic):
                metric = run.get("judged_by", {}).get("metric", metric)
        # The errors of commands have pictures of their own.
        if metric == command_tables.METRIC:
            continue
        mine = [
            row
            for row in rows
            if (row["corpus"], row["synthetic"], row["metric"], row.get("accent"))
            == (part.corpus, part.synthetic, metric, None)
            and row["snr"] is None
            and row.get("weight") is None
            # Recognisers with several starts have pictures of their own, too.
            and "start" not in row
        ]
        normalisers = list(dict.fromkeys(row["normaliser"] for row in mine))
        for name in normalisers:
            systems: dict[str, dict[str, tuple[float, float, float]]] = {}
            for row in mine:
                if row["normaliser"] == name:
                    systems.setdefault(row["system"], {})[row["set"]] = (row["value"], row["low"], row["high"])
            kind = "raw" if name.startswith("raw") else "normalised" if name == normalisers[-1] else name.split()[0]
            label = f"{part.corpus.replace(' ', '_')}{'_synthetic' if part.synthetic else ''}"
            rate_bars(
                list(dict.fromkeys(row["set"] for row in mine)),
                systems,
                folder / f"{metric}_{label}_{kind}.png",
                f"{metric.upper()} (%), {name}",
                f"{part.corpus}, with 95 % intervals",
                part.synthetic,
            )


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; correct {option}") from None


if __name__ == "__main__":
    program.main(report_results)
