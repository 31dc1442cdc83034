#!/usr/bin/env python3
"""Write a fine-tuned Whisper as a Hugging Face directory."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.models.whisper import load_model
from salience.models.whisper_export import export_huggingface

logger = logging.getLogger("export_whisper")


def export_whisper(model: str, out: Path, language: str = "en", context_seconds: int = 30) -> None:
    """Write OUT, which transformers loads: model, generation settings, tokenizer and feature extractor.

    Args:
        model: a checkpoint such as exp/recogniser/whisper/gradcam/seed1/model.pt, or any that fine-tuning accepts
        out: The directory; it must not exist.
        language: Whisper's code of the language.
        context_seconds: Length to which transformers will pad; 30 unless the model was trained on shorter inputs.
    """
    if out.exists():
        raise InputError(f"{out} exists already; remove it or give another --out")
    temporary = out.with_name(f".{out.name}.tmp")
    export_huggingface(load_model(model), temporary, language, context_seconds)
    temporary.rename(out)
    logger.info("wrote %s", out)


if __name__ == "__main__":
    program.main(export_whisper)
