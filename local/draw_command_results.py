#!/usr/bin/env python3
"""Stage 9: error rates of recognisers of commands as pictures, for the report."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.report.cells import distinct, label
from salience.report.command_figures import swept_rates
from salience.report.figures import rate_bars
from salience.report.masks_figures import rates_by_snr
from salience.scoring.results import read_results
from salience.scoring.specification import Row

logger = logging.getLogger(Path(__file__).name)

METRIC, MEAN, CLEAN = "error", "mean", "∞"


def draw_command_results(out: Path, synthetic: bool, results: Path, corpus: str) -> None:
    """Write PNG files into OUT: errors on clean speech, errors by SNR, and the sweeps of Tables 1 and 5.

    What there is nothing to draw of is left out.

    Args:
        out: Folder for the pictures.
        synthetic: Whether the audio is synthetic; the titles say so.
        results: The recipe's results.json, as collect_results.py wrote it.
        corpus: The corpus whose rows are drawn.
    """
    rows = [
        row
        for row in read_results(results)["rows"]
        if (row["corpus"], row["synthetic"], row["metric"]) == (corpus, synthetic, METRIC)
    ]
    if not rows:
        raise InputError(f"{results} holds no rows of {corpus}; run the scoring stage, which writes them")
    noisy = [row for row in rows if row["snr"] not in (None, MEAN)]
    for name in distinct(noisy, "set"):
        _draw_noise([row for row in noisy if row["set"] == name], name, out, synthetic)
    bars: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in rows:
        if row["snr"] is None and row.get("sweep") is None:
            bars.setdefault(row["system"], {})[row["set"]] = (row["value"], row["low"], row["high"])
    sets = list(dict.fromkeys(name for of_system in bars.values() for name in of_system))
    rate_bars(sets, bars, out / "clean.png", "error (%)", "Clean speech, with 95 % intervals", synthetic)
    conventional = [row for row in rows if row.get("sweep") == "conventional"]
    if conventional:
        # Without noise, twice: that is where the ratios end.
        names = {"baseline": CLEAN, "continue-clean": f"{CLEAN}\ncontinued"}
        named = [
            (row, names[row["system"]] if row["sweep_value"] is None else f"{row['sweep_value']:g}")
            for row in sorted(conventional, key=lambda row: (row["sweep_value"] is None, row["sweep_value"] or 0))
        ]
        title = "Table 1: conventional noise of each SNR"
        _draw_sweep(named, out / "table_1_conventional.png", "SNR (dB)", title, synthetic)
    binarised = [row for row in rows if row.get("sweep") == "binarised"]
    if binarised:
        named = [(row, f"{row['sweep_value']:g}") for row in sorted(binarised, key=lambda row: row["sweep_value"])]
        title = "Table 5: binarised masks (0 is null)"
        _draw_sweep(named, out / "table_5_binarised.png", "q, points without noise (%)", title, synthetic)
    logger.info("the figures are in %s", out)


def _draw_noise(rows: list[Row], name: str, out: Path, synthetic: bool) -> None:
    systems: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in rows:
        systems.setdefault(row["system"], {})[label("snr", row["snr"])] = (row["value"], row["low"], row["high"])
    names = [label("snr", snr) for snr in sorted(distinct(rows, "snr"))]
    title = f"{name}, with 95 % intervals"
    rates_by_snr(names, systems, out / f"noise_{name}.png", "error (%)", title, synthetic)


def _draw_sweep(named: list[tuple[Row, str]], path: Path, xlabel: str, title: str, synthetic: bool) -> None:
    """One curve a set, of rows with their names along the axis."""
    curves: dict[str, dict[str, list[float]]] = {}
    paper: dict[str, dict[str, float]] = {}
    for row, name in named:
        curves.setdefault(row["set"], {})[name] = row["values"]
        if row["paper"] is not None:
            paper.setdefault(row["set"], {})[name] = row["paper"]
    swept_rates(list(dict.fromkeys(name for _, name in named)), curves, path, xlabel, paper, title, synthetic)


if __name__ == "__main__":
    program.main(draw_command_results)
