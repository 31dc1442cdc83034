#!/usr/bin/env python3
"""Stage 9: the pictures of a bubble cooperative network, for the report."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from salience import program
from salience.data.directories import read_data_dir
from salience.data.signals import read_utterance
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import read_json
from salience.report.cells import label
from salience.report.masks_figures import frequency_curve, mask_overlays, mask_training, rates_by_snr, sweep_panels
from salience.scoring.noise_masks import frequency_importance, mean_of_seeds
from salience.scoring.patterns import matches
from salience.scoring.results import read_results

logger = logging.getLogger(Path(__file__).name)

SAMPLING_RATE = 16000


def draw_masks(
    out: Path,
    synthetic: bool,
    results: Path,
    corpus: str,
    masks: str | None = None,
    estimators: str | None = None,
    data: Path | None = None,
    utterances: str = "",
    allowance: float = 3.0,
) -> None:
    """Write PNG files into OUT: sweeps, mask overlays, importance by frequency, training of the masks, noise.

    What there is nothing to draw of is left out.

    Args:
        out: Folder for the pictures.
        synthetic: Whether the audio is synthetic; the titles say so.
        results: The recipe's results.json, as collect_results.py wrote it.
        corpus: The corpus whose rows are drawn.
        masks: Pattern of one set's mask.scp files, such as 'exp/masks/seed{seed}/test/mask.scp'.
        estimators: Pattern of the mask estimators' folders, such as 'exp/estimator/seed{seed}'.
        data: Data directory of that set, for the overlays, which are of the first seed.
        utterances: Utterances to draw, separated by spaces; three speakers' first ones by default.
        allowance: CER points above clean speech that a chosen mask may cost on dev.
    """
    found = read_results(results)
    rows = [row for row in found["rows"] if (row["corpus"], row["synthetic"]) == (corpus, synthetic)]
    judged_by: dict[str, Any] = {}
    for run in found["runs"]:
        if (run["corpus"], run["synthetic"]) == (corpus, synthetic):
            judged_by = run["judged_by"]
    rates = [
        row for row in rows if (row["metric"], row["normaliser"]) == tuple(judged_by.values()) and not row["accent"]
    ]
    _draw_sweeps(out, synthetic, rates, rows)
    _draw_noise(out, synthetic, rates)
    if masks is not None:
        archives = [(fields.get("seed", ""), Archive(path)) for fields, path in matches(masks)]
        if archives:
            curves = [frequency_importance(archive.values(), SAMPLING_RATE) for _, archive in archives]
            drawn = {f"seed {seed}": curve for (seed, _), curve in zip(archives, curves)}
            if len(drawn) > 1:
                drawn["mean"] = mean_of_seeds(curves)
            frequency_curve(
                {name: (curve.hertz, 100 * curve.importance) for name, curve in drawn.items()},
                out / "frequency_importance.png",
                title=f"Which frequencies the masks spare, {curves[0].utterances} utterances",
                synthetic=synthetic,
            )
        if archives and data is not None and estimators is not None:
            config = read_json(matches(estimators)[0][1] / "config.json")
            _draw_overlays(out, synthetic, archives[0][1], data, utterances.split(), config)
    if estimators is not None:
        _draw_training(out, synthetic, estimators, allowance)
    logger.info("the figures are in %s", out)


def _draw_sweeps(out: Path, synthetic: bool, rates: list[dict], rows: list[dict]) -> None:
    swept = [row for row in rates if row.get("weight") is not None]
    noise = {
        (row["weight"], row["weight_value"], row["set"]): row["value"]
        for row in rows
        if row.get("weight") is not None and row["metric"] == "noise_proportion"
    }
    for name in dict.fromkeys(row["set"] for row in swept):
        weights: dict[str, list[tuple[float, float, float]]] = {}
        for row in swept:
            place = (row["weight"], row["weight_value"], name)
            if row["set"] == name and place in noise:
                point = (row["weight_value"], 100 - row["value"], noise[place])
                weights.setdefault(row["weight"], []).append(point)
        if weights:
            title = f"Each weight of the loss varied, {name}"
            sweep_panels(weights, out / f"sweeps_{name}.png", title, synthetic)


def _draw_noise(out: Path, synthetic: bool, rates: list[dict]) -> None:
    noisy = [row for row in rates if row["snr"] is not None]
    for name in dict.fromkeys(row["set"] for row in noisy):
        mine = [row for row in noisy if row["set"] == name]
        systems: dict[str, dict[str, tuple[float, float, float]]] = {}
        for row in mine:
            point = (row["value"], row["low"], row["high"])
            systems.setdefault(row["system"], {})[label("snr", row["snr"])] = point
        rates_by_snr(
            [label("snr", snr) for snr in dict.fromkeys(row["snr"] for row in mine)],
            systems,
            out / f"noise_{name}.png",
            f"CER (%), {mine[0]['normaliser']}",
            f"White noise, {name}, with 95 % intervals",
            synthetic,
        )


def _draw_overlays(
    out: Path, synthetic: bool, masks: Archive, data: Path, wanted: list[str], config: dict[str, Any]
) -> None:
    known = {utterance.id: utterance for utterance in read_data_dir(data)}
    for key in wanted:
        if key not in known:
            raise InputError(f"{data} has no utterance {key}; correct --utterances")
    first_of: dict[str, str] = {}
    for utterance in known.values():
        if utterance.id in masks:
            first_of.setdefault(utterance.speaker, utterance.id)
    examples = []
    for key in wanted or list(first_of.values())[:3]:
        utterance, mask = known[key], masks[key]
        samples = read_utterance(utterance, SAMPLING_RATE)
        levels = _levels(samples, 2 * (mask.shape[1] - 1), config["hop"])
        if len(levels) != len(mask):
            raise InputError(
                f"{masks.path}: the mask of {key} has {len(mask)} frames and its spectrogram {len(levels)}; "
                "run the stage that writes the masks again"
            )
        examples.append((f"{key}: {utterance.text}", levels, mask))
    mask_overlays(
        examples,
        out / "masks.png",
        config["hop"] / SAMPLING_RATE,
        "Clean speech under its mask: bright where it is spared, dark where noise is added",
        synthetic,
        SAMPLING_RATE,
    )


def _levels(samples: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Level in dB of the points that the mask has, on the scale of 16-bit samples."""
    # Imported here: it takes a second, and most of the pictures do without torch.
    import torch

    from salience.features.fbank import INT16
    from salience.features.stft import stft

    power = stft(INT16 * torch.from_numpy(samples)[None], size, hop)[0].abs().square().numpy()
    return 10 * np.log10(np.maximum(power, 1.0))


def _draw_training(out: Path, synthetic: bool, estimators: str, allowed: float) -> None:
    excess: dict[str, list[tuple[float, float]]] = {}
    noise: dict[str, list[tuple[float, float]]] = {}
    for fields, folder in matches(estimators):
        name = f"seed {fields.get('seed', '')}"
        for entry in read_json(folder / "history.json") if (folder / "history.json").exists() else []:
            if "eval_dev_noise_proportion" in entry:
                cost = entry["eval_dev_cer"] - entry["eval_dev_clean_cer"]
                excess.setdefault(name, []).append((entry["step"], cost))
                noise.setdefault(name, []).append((entry["step"], entry["eval_dev_noise_proportion"]))
    if excess:
        title = "Training of the mask estimator"
        mask_training(excess, noise, out / "mask_training.png", allowed, title, synthetic)


if __name__ == "__main__":
    program.main(draw_masks)
