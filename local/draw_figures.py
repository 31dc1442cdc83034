#!/usr/bin/env python3
"""Stage 9: the pictures of a run, for the report."""

import logging
from pathlib import Path
from typing import Any

from salience import program
from salience.data.directories import read_data_dir
from salience.features.archives import Archive
from salience.features.logmel import FRAME_SHIFT
from salience.files import read_json
from salience.report.figures import confusion_matrix, training_curves, triptych
from salience.saliency.base import read_maps
from salience.scoring.patterns import find

logger = logging.getLogger("draw_figures")


def draw_figures(
    out: Path,
    synthetic: bool,
    classifier: str | None = None,
    histories: str | None = None,
    value: str = "eval_dev_wer",
    ylabel: str = "dev WER (%)",
    data: Path | None = None,
    features: Path | None = None,
    maps: Path | None = None,
    masked: Path | None = None,
    examples: int = 3,
) -> None:
    """Write PNG files into OUT: confusion matrices, training curves, triptychs.

    A triptych is the spectrogram, the saliency map and the masked spectrogram
    of one utterance; the first utterance of each accent is drawn.

    Args:
        out: Folder for the pictures.
        synthetic: Whether the audio is synthetic; the titles say so.
        classifier: Pattern of the classifiers' scores, such as 'exp/classifier/{system}.{set}.json'.
        histories: Pattern of the trainings' history.json, with {system} and {seed}.
        value: The value of the history to draw.
        ylabel: Its name and unit.
        data: Data directory of the triptychs' set.
        features: feats.scp of that set.
        maps: saliency.scp of that set.
        masked: feats.scp of that set, masked.
        examples: How many triptychs at most.
    """
    if classifier is not None:
        for fields, path in find(classifier):
            scores = read_json(path)
            name = ", ".join(fields.values()) or "accent classifier"
            place = out / f"confusion_{'_'.join(fields.values()) or 'classifier'}.png"
            confusion_matrix(scores["labels"], scores["confusion"], place, name, synthetic)
    if histories is not None:
        curves = {}
        for fields, path in find(histories):
            points = [(entry["step"], entry[value]) for entry in read_json(path) if value in entry]
            if points:
                curves[f"{fields.get('system', '')}/{fields.get('fold', '')}{fields.get('seed', '')}"] = points
        if curves:
            training_curves(
                curves, out / f"training_{value}.png", ylabel, title="Training, a line a seed", synthetic=synthetic
            )
    if data is not None and features is not None and maps is not None and masked is not None:
        _draw_triptychs(out, synthetic, data, Archive(features), read_maps(maps), Archive(masked), examples)
    logger.info("the figures are in %s", out)


def _draw_triptychs(
    out: Path, synthetic: bool, data: Path, features: Any, maps: Any, masked: Any, examples: int
) -> None:
    first_of = {}
    for utterance in read_data_dir(data):
        first_of.setdefault(utterance.accent, utterance)
    for utterance in list(first_of.values())[:examples]:
        matrix = features[utterance.id]
        triptych(
            matrix,
            maps[utterance.id].unit(*matrix.shape),
            masked[utterance.id],
            out / f"triptych_{utterance.id}.png",
            f"{utterance.id}, {utterance.accent or 'accent unknown'}",
            FRAME_SHIFT,
            synthetic,
        )


if __name__ == "__main__":
    program.main(draw_figures)
