#!/usr/bin/env python3
"""Stage 2: the symbols that a CTC model of Catalan can write, and how far they reach."""

import logging
from collections import Counter
from pathlib import Path

from salience import program
from salience.data.normalisers import normaliser
from salience.data.tables import read_table
from salience.data.vocabulary import BOUNDARY, CATALAN, LEGACY, write_vocabulary
from salience.files import write_json
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def prepare_vocabulary(out: Path, text: Path) -> None:
    """Write out/tokens.txt, out/legacy/tokens.txt and out/coverage.json.

    Both lists are fixed, so that models of different data can be compared.
    coverage.json says how many characters of the normalised text, word
    boundaries counted in, each list can write, and which it cannot.

    Args:
        out: folder for the lists
        text: Kaldi's text table of the training set
    """
    lists = {out: CATALAN, out / "legacy": LEGACY}
    outputs = [*(folder / "tokens.txt" for folder in lists), out / "coverage.json"]
    step = Step(out / "step.json", {"lists": [list(symbols) for symbols in lists.values()]}, [text], outputs)
    if step.is_done():
        return
    with step:
        normalise, version = normaliser("catalan")
        # The tokenizer puts the boundary in a space's place, whatever the list holds.
        counts = Counter(c for line in read_table(text).values() for c in normalise(line).replace(" ", BOUNDARY))
        coverage = {}
        for folder, symbols in lists.items():
            write_vocabulary(folder / "tokens.txt", symbols)
            missing = {c: n for c, n in counts.most_common() if c not in symbols}
            coverage["legacy" if folder != out else "catalan"] = {
                "symbols": len(symbols), "unknown characters": sum(missing.values()), "unknown": missing,
            }  # fmt: skip
        write_json(
            out / "coverage.json", {"normaliser": f"catalan {version}", "characters": counts.total(), **coverage}
        )
    for name, found in coverage.items():
        share = found["unknown characters"] / max(1, counts.total())
        logger.info("%s: %d symbols, %.1f %% of the text is [UNK]", name, found["symbols"], 100 * share)


if __name__ == "__main__":
    program.main(prepare_vocabulary)
