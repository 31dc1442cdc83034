#!/usr/bin/env python3
"""Stage 9: how wav2vec 2.0 learns, where it listens and what its classifiers confuse, as pictures for the report."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salience import program
from salience.data.directories import read_data_dir
from salience.data.tables import read_table
from salience.data.waveforms import RATE, Waveforms
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import read_json
from salience.report.figures import confusion_matrix, rate_bars
from salience.report.wav2vec_figures import Curve, Frames, Panel, character_panels, learning_panels, saliency_panels
from salience.scoring.classification import of_its_split, place_of
from salience.scoring.patterns import matches, only_seeds
from salience.scoring.results import read_results

logger = logging.getLogger(Path(__file__).name)

FRAMES = Frames(hop=320, field=400, rate=RATE)
"""Of wav2vec 2.0's feature encoder."""
WINDOW, SHIFT = 512, 128
"""Samples of the drawn spectrogram's windows and between them."""
NAMES = {"|": "(space)"}
STARTS = ("random", "own", "spanish", "english", "multilingual")
VARIANTS = ("plain", "specaugment", "random-mask", "gradcam")


def draw_wav2vec(
    out: Path,
    synthetic: bool,
    results: Path | None = None,
    corpus: str = "",
    pretraining: str | None = None,
    finetuning: str | None = None,
    classifiers: str | None = None,
    data: Path | None = None,
    packed: Path | None = None,
    maps: str | None = None,
    utterances: str = "",
    examples: int = 3,
    only: str = "",
) -> None:
    """Write PNG files into OUT: curves, bars of error rates, confusion matrices, and Grad-CAM over utterances.

    What there is nothing to draw of is left out.  Patterns have placeholders
    in braces.

    Args:
        out: Folder for the pictures.
        synthetic: Whether the audio is synthetic; the titles say so.
        results: The recipe's results.json, as collect_results.py wrote it, for bars of error rates.
        corpus: The corpus whose rows are drawn.
        pretraining: Pattern of the histories of pretraining, such as 'exp/pretrained/seed{seed}/history.json'.
        finetuning: Pattern of those of fine-tuning, such as 'exp/recogniser/wav2vec2/{start}/{variant}/seed{seed}/history.json'.
        classifiers: Pattern of the classifiers' scores, such as
            'exp/classifier/{task}/{start}/seed{seed}/wav2vec.{set}.json'; test sets are drawn, the seeds together.
        data: Data directory of the utterances to draw.
        packed: Folder of their packed signals; without one the recordings are decoded.
        maps: Pattern of the maps' scp files of that set, such as 'exp/saliency/{kind}/{task}/test/saliency.scp'; a
            table `symbols` stands beside those that have a column for each character.
        utterances: Which to draw, separated by spaces; by default the first of each accent.
        examples: How many of these at most.
        only: Starts, variants and seeds of the recognisers whose fine-tuning is drawn, such as 'own/plain/1 own/gradcam/1'; all by default.
    """
    if results is not None:
        _draw_rates(out, synthetic, results, corpus)
    if pretraining is not None:
        _draw_pretraining(out, synthetic, pretraining)
    if finetuning is not None:
        _draw_finetuning(out, synthetic, finetuning, only_seeds(only))
    if classifiers is not None:
        _draw_confusions(out, synthetic, classifiers)
    if data is not None and maps is not None:
        _draw_maps(out, synthetic, data, packed, maps, utterances.split(), examples)
    logger.info("the figures are in %s", out)


def _draw_rates(out: Path, synthetic: bool, results: Path, corpus: str) -> None:
    """Bars of WER by start and variant, one picture for each set and normaliser."""
    rows = [
        row
        for row in read_results(results)["rows"]
        if (row["corpus"], row["synthetic"], row["metric"]) == (corpus, synthetic, "wer")
        and row["accent"] is row.get("gender") is None
    ]
    for name, normaliser in dict.fromkeys((row["set"], row["normaliser"]) for row in rows):
        mine = [row for row in rows if (row["set"], row["normaliser"]) == (name, normaliser)]
        bars: dict[str, dict[str, tuple[float, float, float]]] = {}
        for row in mine:
            bars.setdefault(row["variant"], {})[row["start"]] = (row["value"], row["low"], row["high"])
        kind = "raw" if normaliser.startswith("raw") else "normalised"
        rate_bars(
            list(dict.fromkeys(row["start"] for row in mine)),
            bars,
            out / f"wer_{name}_{kind}.png",
            f"WER (%), {normaliser}",
            f"{name}, with 95 % intervals",
            synthetic,
        )


def _draw_pretraining(out: Path, synthetic: bool, pattern: str) -> None:
    histories = {
        f"seed {fields.get('seed', '')}".strip(): read_json(path)
        for fields, path in sorted(matches(pattern), key=lambda found: int(found[0].get("seed", 0)))
    }
    if not histories:
        return
    entries = [entry for history in histories.values() for entry in history]
    chance = next((entry["eval_dev_chance"] for entry in entries if "eval_dev_chance" in entry), None)
    panels = [
        Panel("loss", _curves(histories, "eval_dev_contrastive"), _curves(histories, "eval_train_loss")),
        Panel(
            "contrastive\naccuracy (%)",
            _curves(histories, "eval_dev_accuracy", 100),
            _curves(histories, "eval_train_accuracy", 100),
            None if chance is None else ("chance", 100 * chance),
        ),
        Panel(
            "perplexity\nof the codes",
            _curves(histories, "eval_dev_perplexity"),
            _curves(histories, "eval_train_perplexity"),
        ),
        Panel("gradient norm", _curves(histories, "grad_norm")),
    ]
    later = {e["phase"]: e["update"] - e["step"] for e in entries if e.get("phase", 1) > 1 and "update" in e}
    learning_panels(
        [panel for panel in panels if panel.curves],
        out / "pretraining.png",
        "update",
        sorted(later.values()),
        "Pretraining; the dev loss is the contrastive part alone",
        synthetic,
    )


def _draw_finetuning(out: Path, synthetic: bool, pattern: str, only: Mapping[str, Sequence[int]]) -> None:
    """The plain trainings of all starts in one picture, the variants of each start in another."""
    found = [
        (fields, read_json(path))
        for fields, path in matches(pattern)
        if not only or int(fields.get("seed", 0)) in only.get(f"{fields['start']}/{fields['variant']}", ())
    ]
    found.sort(key=lambda one: (*map(_order, (one[0]["start"], one[0]["variant"])), int(one[0].get("seed", 0))))

    def draw(chosen: Iterable[tuple[Mapping[str, str], list]], by: str, name: str, title: str) -> None:
        histories = {f"{fields[by]}/{fields.get('seed', '')}": history for fields, history in chosen}
        panels = [
            Panel("training loss", _curves(histories, "loss")),
            Panel("dev WER (%)", _curves(histories, "eval_dev_wer")),
            Panel("dev CER (%)", _curves(histories, "eval_dev_cer")),
        ]
        panels = [panel for panel in panels if panel.curves]
        if panels:
            learning_panels(panels, out / f"finetuning_{name}.png", "update", (), f"{title}, a line a seed", synthetic)

    draw([one for one in found if one[0]["variant"] == "plain"], "start", "starts", "CTC fine-tuning from each start")
    for start in dict.fromkeys(fields["start"] for fields, _ in found):
        mine = [one for one in found if one[0]["start"] == start]
        if len({fields["variant"] for fields, _ in mine}) > 1:
            draw(mine, "variant", start, f"CTC fine-tuning from the {start} start")


def _order(name: str) -> tuple[int, str]:
    known = STARTS + VARIANTS
    return (known.index(name) if name in known else len(known)), name


def _curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], key: str, scale: float = 1) -> dict[str, Curve]:
    """{name: (update, value)} of those that have any."""
    curves = {
        name: [(entry.get("update", entry["step"]), scale * entry[key]) for entry in history if key in entry]
        for name, history in histories.items()
    }
    return {name: points for name, points in curves.items() if points}


def _draw_confusions(out: Path, synthetic: bool, pattern: str) -> None:
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for fields, path in matches(pattern):
        if not of_its_split(fields) or place_of(fields["set"])[1] != "test":
            continue
        scores = read_json(path)
        total = sums.setdefault(
            (fields["set"], fields["start"]), {"labels": scores["labels"], "confusion": 0, "seeds": 0}
        )
        if scores["labels"] != total["labels"]:
            raise InputError(f"{path} has other labels than the classifiers of other seeds; train them again")
        total["confusion"] = total["confusion"] + np.array(scores["confusion"])
        total["seeds"] += 1
    for (name, start), total in sums.items():
        title = f"{name}, {start} start" + (f", {total['seeds']} seeds together" if total["seeds"] > 1 else "")
        path = out / f"confusion_{name}_{start}-start.png"
        confusion_matrix(total["labels"], total["confusion"], path, title, synthetic)


def _draw_maps(
    out: Path, synthetic: bool, data: Path, packed: Path | None, pattern: str, wanted: list[str], examples: int
) -> None:
    found = []
    for fields, path in matches(pattern):
        spelt = path.with_name("symbols")
        found.append(("_".join(fields.values()) or "map", Archive(path), read_table(spelt) if spelt.exists() else None))
    if not found:
        return
    waveforms = Waveforms(data, packed, scaled=False)
    for key in _chosen(data, [archive for _, archive, _ in found], wanted, examples):
        utterance, signal = waveforms.utterances[key], waveforms[key]
        said = f"{utterance.accent or 'accent unknown'}, {key}: {utterance.text}"
        for name, archive, symbols in found:
            path, title = out / f"{name}_{key}.png", f"{name.replace('_', ', ')}\n{said}"
            if symbols is None:
                saliency = _map_of(archive, key, len(signal), 1)[:, 0]
                saliency_panels(signal, _levels(signal), SHIFT / RATE, saliency, FRAMES, path, title, synthetic)
            else:
                names = symbols[key].split()
                saliency = _map_of(archive, key, len(signal), len(names))
                shown = [NAMES.get(name, name) for name in names]
                character_panels(signal, saliency, shown, FRAMES, path, title, synthetic)


def _chosen(data: Path, archives: Sequence[Archive], wanted: list[str], examples: int) -> list[str]:
    """The wanted utterances, or the first of each accent that all archives have."""
    known = {utterance.id: utterance for utterance in read_data_dir(data)}
    for key in wanted:
        if key not in known:
            raise InputError(f"{data} has no utterance {key}; correct --utterances")
    first_of: dict[str | None, str] = {}
    for utterance in known.values():
        if all(utterance.id in archive for archive in archives):
            first_of.setdefault(utterance.accent, utterance.id)
    return wanted or list(first_of.values())[:examples]


def _map_of(archive: Archive, key: str, samples: int, columns: int) -> np.ndarray:
    saliency = archive[key]
    if saliency.shape != (FRAMES.count(samples), columns):
        raise InputError(
            f"{archive.path}: the map of {key} is of the shape {saliency.shape}, and its signal asks for "
            f"({FRAMES.count(samples)}, {columns}); run the stage that writes the maps again"
        )
    return saliency


def _levels(signal: np.ndarray) -> np.ndarray:
    """Levels in dB, (frames, bins)."""
    # Imported here: it takes seconds, and curves do without torch.
    import torch

    from salience.features.stft import stft

    power = stft(torch.from_numpy(np.ascontiguousarray(signal))[None], WINDOW, SHIFT)[0].abs().square().numpy()
    return 10 * np.log10(np.maximum(power, 1e-10))


if __name__ == "__main__":
    program.main(draw_wav2vec)
