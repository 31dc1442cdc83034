#!/usr/bin/env python3
"""Stage 1: the recogniser's output tokens, characters or subwords, from the training text."""

import logging
import re
from pathlib import Path

from salience import program
from salience.data.normalisers import squeeze
from salience.data.tables import read_table
from salience.data.tokens import character_tokens, subword_tokens, train_subwords
from salience.errors import InputError, stale
from salience.files import whole_file, write_lines
from salience.steps import Step

logger = logging.getLogger("prepare_tokens")


def prepare_tokens(text: Path, out: Path, tokens: str = "char") -> None:
    """Write out/tokens.txt in ESPnet2's form and, for subwords, SentencePiece's out/bpe.model.

    Args:
        text: Kaldi's text table of the training set
        out: folder for the tokens
        tokens: char, or for instance bpe30 for 30 of SentencePiece's subwords, its three special ones counted in
    """
    if not re.fullmatch(r"char|bpe[1-9][0-9]*", tokens):
        raise InputError(f"--tokens takes char, or bpe and the number of subwords, not {tokens!r}")
    model, subwords = out / "bpe.model", tokens.startswith("bpe")
    step = Step(
        out / "step.json",
        {"tokens": tokens},
        inputs=[text],
        outputs=[out / "tokens.txt"] + ([model] if subwords else []),
    )
    if step.is_done():
        return
    texts = [line for line in map(squeeze, read_table(text).values()) if line]
    if not texts:
        raise stale(text, "holds no words")
    with step:
        if subwords:
            pieces = train_subwords(texts, int(tokens.removeprefix("bpe")))
            with whole_file(model, "wb") as handle:
                handle.write(pieces)
            found = subword_tokens(pieces)
        else:
            found = character_tokens(texts)
            # Its presence says that the tokens are subwords.
            model.unlink(missing_ok=True)
        write_lines(out / "tokens.txt", found)
    logger.info("wrote %d tokens to %s", len(found), out / "tokens.txt")


if __name__ == "__main__":
    program.main(prepare_tokens)
