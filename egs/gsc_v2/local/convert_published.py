#!/usr/bin/env python3
"""The authors' checkpoint as two folders of ours: a recogniser, which stage 7 decodes with, and its mask generator."""

import logging
from pathlib import Path

from salience import program
from salience.corpora.speech_commands import WORDS
from salience.models.keywords import save_recogniser
from salience.models.mask_generator import save_generator
from salience.models.published_keyword import read_published
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def convert_published(checkpoint: Path, recogniser: Path, generator: Path) -> None:
    """Write both networks in our format, and log what the checkpoint says of its training.

    The words are the 35 of the corpus in alphabetical order.

    Args:
        checkpoint: File of the published checkpoint (best_clf_frozen.pt).
        recogniser: Folder for the recogniser.
        generator: Folder for the mask generator.
    """
    outputs = [folder / name for folder in (recogniser, generator) for name in ("model.safetensors", "config.json")]
    step = Step(recogniser / "step.json", {}, inputs=[checkpoint], outputs=outputs)
    if step.is_done():
        return
    network, masks, notes = read_published(checkpoint, WORDS)
    with step:
        save_recogniser(network, recogniser)
        save_generator(masks, generator)
    for name, value in notes.items():
        logger.info("%s: %s: %s", checkpoint, name, value)


if __name__ == "__main__":
    program.main(convert_published)
