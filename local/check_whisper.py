#!/usr/bin/env python3
"""At the start of a recipe: check that a Whisper can be opened and knows the language, before anything takes hours."""

import logging
from pathlib import Path

from salience import program
from salience.files import read_yaml
from salience.models.whisper import VOCABULARIES, check_context, open_model, tokenizer_of

logger = logging.getLogger("check_whisper")


def check_whisper(model: str, language: str = "en", decoding: Path | None = None) -> None:
    """Say what MODEL is, and print the number of mel bins that it reads.

    Args:
        model: A model of openai-whisper by name, a checkpoint file of it, or a folder of Hugging Face or CTranslate2.
        language: Whisper's code of the language.
        decoding: Settings of decode.py, if the model is to be decoded as it is.
    """
    checkpoint = open_model(model)
    tokenizer_of(checkpoint, language)
    dims = checkpoint.dims
    multilingual, languages = VOCABULARIES[dims.n_vocab]
    logger.info(
        "%s: Whisper in %s's format, %d mel bins, %s, vocabulary of %d, %d s of audio, %d tokens of text",
        model, checkpoint.format, dims.n_mels, f"{languages} languages" if multilingual else "English only",
        dims.n_vocab,
        dims.n_audio_ctx // 50, dims.n_text_ctx,
    )  # fmt: skip
    if decoding is not None:
        settings = read_yaml(decoding, "correct --decoding") or {}
        check_context(checkpoint, settings.get("full_context", False) is not False)
    print(dims.n_mels)


if __name__ == "__main__":
    program.main(check_whisper)
