#!/usr/bin/env python3
"""Stage 7: hypotheses of one ESPnet recogniser for many folders of features."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import write_table
from salience.decoding.hybrid import BeamSearch, Search
from salience.errors import InputError
from salience.features.archives import Archive
from salience.progress import bar
from salience.steps import Step
from salience.training.espnet import dimension_of, read_config

logger = logging.getLogger("decode_espnet")


def decode_espnet(
    model: Path,
    features: str,
    out: str,
    sets: str,
    search: Search = Search(),
    lm: Path | None = None,
    device: str = "cpu",
) -> None:
    """Write OUT/SET/text for each folder of features FEATURES/SET/feats.scp, one hypothesis an utterance.

    The model is loaded once, and only if something is to be done.

    Args:
        model: Folder of the recogniser that train_espnet.py wrote.
        features: Folders of features, separated by spaces.
        out: As many folders for hypotheses.
        sets: Names of the sets, separated by spaces.
        search: Settings of the beam search; best given by --config.
        lm: Folder of the language model that train_lm.py wrote.
        device: cpu or cuda.
    """
    sources, targets = features.split(), out.split()
    if len(sources) != len(targets):
        raise InputError(f"--features names {len(sources)} folders but --out {len(targets)}; give one for each")
    dimension = read_config(model)["input_size"]
    recogniser = None
    for source, target in zip(map(Path, sources), map(Path, targets), strict=True):
        for name in sets.split():
            scp, text = source / name / "feats.scp", target / name / "text"
            step = Step(
                target / name / "step.json",
                {"search": search},
                inputs=[scp, model / "model.pth", model / "config.yaml", *([lm / "model.pth"] if lm else [])],
                outputs=[text],
            )
            if step.is_done():
                continue
            archive = Archive(scp)
            if len(archive) and dimension_of(archive) != dimension:
                raise InputError(f"{scp} has {dimension_of(archive)} values a frame but {model} was trained on {dimension}; give the features that it was trained on")
            recogniser = recogniser or BeamSearch(model, search, lm, device)
            with step:
                hypotheses = {}
                for utterance in bar(archive, f"decoding {target / name}", len(archive)):
                    matrix = archive[utterance]
                    hypotheses[utterance] = recogniser(matrix)
                    if not hypotheses[utterance]:
                        logger.warning("%s: nothing was recognised in the %d frames of %s", scp, len(matrix), utterance)
                write_table(text, hypotheses)
            logger.info("wrote %d hypotheses to %s", len(hypotheses), text)


if __name__ == "__main__":
    program.main(decode_espnet)
