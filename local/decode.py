#!/usr/bin/env python3
"""Stage 7: hypotheses of recognisers, for each set."""

import logging
import shlex
from pathlib import Path

from salience import program
from salience.data.tables import write_table
from salience.errors import InputError
from salience.models.precision import Precision, usable
from salience.models.recognisers import RECOGNISERS, Recogniser
from salience.progress import bar
from salience.registry import plugins_of
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


@program.chosen_by("recogniser", RECOGNISERS.names, lambda name: {"recogniser": RECOGNISERS[name]})
def decode(
    recogniser: Recogniser,
    models: str,
    sets: str,
    out: str,
    features: str = "",
    data: Path = Path("data"),
    batch_size: int = 0,
    precision: Precision = "float32",
    device: str = "cpu",
) -> None:
    """Write OUT/SET/text, one hypothesis an utterance, and OUT/SET/truncated, the ids of those that were cut off.

    Of --models and --features there is one for all folders of hypotheses, or
    one for each.  A model is loaded once for folders that follow each other,
    and only if something is to be done.

    Args:
        models: Models, separated by spaces; one with a space in its name stands in quotes.
        sets: Names of the sets, separated by spaces.
        out: Folders for the hypotheses, separated by spaces.
        features: Folders of the features or packed signals, separated by spaces.
        data: Folder of the data directories.
        batch_size: Utterances decoded at a time; 0 is the recogniser's own choice.
        precision: bf16 is twice as fast on a GPU or a processor with AMX, and now and then writes another word; a
            processor that could only emulate it takes float32.
        device: cpu or cuda.
    """
    loaded = None
    lower = {} if usable(precision, device) == "float32" else {"precision": precision}  # earlier records have none
    folders = words_of("out", out)
    for model, source, folder in zip(
        words_of("models", models, len(folders)), words_of("features", features, len(folders)), folders, strict=True
    ):
        for name in sets.split():
            material = recogniser.source(data, Path(source) if source else None, name)
            target = Path(folder) / name
            step = Step(
                target / "step.json",
                {"model": model, **recogniser.settings(), **material.settings, **lower},
                inputs=[*material.inputs, *recogniser.files(model), *plugins_of(type(recogniser))],
                outputs=[target / "text", target / "truncated"],
            )
            if step.is_done():
                continue
            if loaded != model:
                recogniser.load(model, device)
                if lower:
                    recogniser.use_bf16()
                loaded = model
            recogniser.check(material)
            truncated: list[str] = []
            with step:
                hypotheses = recogniser.transcribe(material, batch_size or recogniser.batch_size, truncated)
                texts = dict(bar(hypotheses, f"decoding {name}", len(material)))
                write_table(target / "text", texts)
                write_table(target / "truncated", dict.fromkeys(truncated, ""))
            cut = f"; {len(truncated)} of them were cut off (--max-tokens)" if truncated else ""
            logger.info("wrote %d hypotheses to %s%s", len(texts), target / "text", cut)


def words_of(option: str, text: str, number: int = 0) -> list[str]:
    """Split a list of folders or models; of a `number` wanted there may be one for all."""
    try:
        words = shlex.split(text) or [""]
    except ValueError:
        raise InputError(
            f"--{option} has a quote that is not closed: {text}; put each name with a quote or a space in it in quotes"
            " of the other kind"
        ) from None
    if number and len(words) not in (1, number):
        raise InputError(f"--{option} names {len(words)}, and --out {number} folders; give one, or one for each")
    return words * number if number and len(words) == 1 else words


if __name__ == "__main__":
    program.main(decode)
