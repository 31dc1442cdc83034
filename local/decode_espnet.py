#!/usr/bin/env python3
"""Stage 7: hypotheses of ESPnet recognisers for many folders of features."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import write_table
from salience.decoding.hybrid import BeamSearch, Search
from salience.errors import InputError
from salience.features.archives import Archive
from salience.models.espnet import read_config
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger("decode_espnet")


def decode_espnet(
    models: str,
    features: str,
    out: str,
    sets: str,
    search: Search = Search(),
    lm: Path | None = None,
    device: str = "cpu",
) -> None:
    """Write OUT/SET/text for each folder of features FEATURES/SET/feats.scp, one hypothesis an utterance.

    A model is loaded once for folders that follow each other, and only if something is to be done.

    Args:
        models: Folders of recognisers that train_espnet.py wrote, separated by spaces: one for all folders of
            features, or one for each.
        features: Folders of features, separated by spaces.
        out: As many folders for hypotheses.
        sets: Names of the sets, separated by spaces.
        search: Settings of the beam search; best given by --config.
        lm: Folder of the language model that train_espnet.py --task lm wrote.
        device: cpu or cuda.
    """
    sources, targets = features.split(), out.split()
    if len(sources) != len(targets):
        raise InputError(f"--features names {len(sources)} folders but --out {len(targets)}; give one for each")
    recognisers = models.split() * (len(sources) if len(models.split()) == 1 else 1)
    if len(recognisers) != len(sources):
        raise InputError(
            f"--models names {len(recognisers)} recognisers for {len(sources)} folders of features; give one, or one"
            " for each"
        )
    dimensions = {model: read_config(Path(model))["input_size"] for model in dict.fromkeys(recognisers)}
    loaded: tuple[Path, BeamSearch] | None = None
    for model, source, target in zip(map(Path, recognisers), map(Path, sources), map(Path, targets), strict=True):
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
            if len(archive) and archive.columns != dimensions[str(model)]:
                raise InputError(
                    f"{scp} has {archive.columns} values a frame but {model} was trained on"
                    f" {dimensions[str(model)]}; give the features that it was trained on"
                )
            if loaded is None or loaded[0] != model:
                loaded = model, BeamSearch(model, search, lm, device)
            with step:
                hypotheses = {}
                for utterance in bar(archive, f"decoding {target / name}", len(archive)):
                    matrix = archive[utterance]
                    hypotheses[utterance] = loaded[1](matrix)
                    if not hypotheses[utterance]:
                        logger.warning("%s: nothing was recognised in the %d frames of %s", scp, len(matrix), utterance)
                write_table(text, hypotheses)
            logger.info("wrote %d hypotheses to %s", len(hypotheses), text)


if __name__ == "__main__":
    program.main(decode_espnet)
