#!/usr/bin/env python3
"""Stage 2: the symbols that a CTC model of Catalan can write, and how far they reach."""

import logging
from collections import Counter
from pathlib import Path

from salience import program
from salience.data.normalisers import normaliser
from salience.data.tables import read_table
from salience.data.vocabulary import BOUNDARY, CATALAN, LEGACY
from salience.files import write_lines
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def prepare_vocabulary(out: Path, text: Path) -> None:
    """Write out/tokens.txt and out/legacy/tokens.txt, and log which characters of a text neither can write.

    Both lists are fixed, so that models of different data can be compared.

    Args:
        out: folder for the lists
        text: Kaldi's text table of the training set
    """
    lists = {out / "tokens.txt": CATALAN, out / "legacy" / "tokens.txt": LEGACY}
    step = Step(out / "step.json", {"lists": [list(symbols) for symbols in lists.values()]}, [text], lists)
    if step.is_done():
        return
    normalise, _ = normaliser("catalan")
    # The tokenizer puts the boundary in a space's place, whatever the list holds.
    counts = Counter(c for line in read_table(text).values() for c in normalise(line).replace(" ", BOUNDARY))
    with step:
        for path, symbols in lists.items():
            write_lines(path, symbols)
            missing = {c: n for c, n in counts.most_common() if c not in symbols}
            share = 100 * sum(missing.values()) / max(1, counts.total())
            logger.info(
                "%s: %d symbols; %.1f %% of the text is [UNK]: %s", path, len(symbols), share, " ".join(missing)
            )


if __name__ == "__main__":
    program.main(prepare_vocabulary)
