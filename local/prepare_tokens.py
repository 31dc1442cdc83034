#!/usr/bin/env python3
"""Stage 1: the recogniser's output tokens, characters or subwords, from the training text."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.normalisers import squeeze
from salience.data.tables import read_table
from salience.data.tokens import character_tokens, subword_tokens, train_subwords, write_tokens
from salience.errors import InputError
from salience.files import whole_file
from salience.steps import Step

logger = logging.getLogger("prepare_tokens")


def prepare_tokens(text: Path, out: Path, type: Literal["char", "bpe"] = "char", size: int = 30) -> None:
    """Write out/tokens.txt in ESPnet2's form and, for subwords, SentencePiece's out/bpe.model.

    Args:
        text: Kaldi's text table of the training set.
        out: Folder for the tokens.
        type: char, or bpe for SentencePiece's subwords.
        size: Number of subwords, the three special ones of SentencePiece counted in.
    """
    model = out / "bpe.model"
    step = Step(
        out / "step.json",
        {"type": type, "size": size if type == "bpe" else None},
        inputs=[text],
        outputs=[out / "tokens.txt"] + ([model] if type == "bpe" else []),
    )
    if step.is_done():
        return
    texts = [line for line in map(squeeze, read_table(text).values()) if line]
    if not texts:
        raise InputError(f"{text} holds no words; run the stage that writes it again")
    with step:
        if type == "bpe":
            subwords = train_subwords(texts, size)
            tokens = subword_tokens(subwords)
            with whole_file(model, "wb") as handle:
                handle.write(subwords)
        else:
            tokens = character_tokens(texts)
            # Its presence says that the tokens are subwords.
            model.unlink(missing_ok=True)
        write_tokens(out / "tokens.txt", tokens)
    logger.info("wrote %d tokens to %s", len(tokens), out / "tokens.txt")


if __name__ == "__main__":
    program.main(prepare_tokens)
