#!/usr/bin/env python3
"""Counting the errors of 100,000 pairs, against jiwer in the same run."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import jiwer

from salience import program
from salience.scoring.alignment import character_counts, word_counts


def bench_scoring(pairs: int = 100_000, out: Path | None = None) -> None:
    """Print what jiwer and this library take for words and characters, and the ratio.

    Args:
        pairs: Pairs of texts, 5 to 30 words long with 15 % errors.
        out: File to append the lines to.
    """
    references, hypotheses = _texts(pairs)
    lines = []
    for name, theirs, ours in (
        ("words", jiwer.process_words, word_counts),
        ("characters", jiwer.process_characters, character_counts),
    ):
        output, slow = _timed(theirs, references, hypotheses)
        counts, fast = _timed(ours, references, hypotheses)
        assert counts.sum(axis=0).tolist()[1:] == [output.insertions, output.deletions, output.substitutions]
        lines.append(
            f"scoring {pairs} pairs, {name}: jiwer {slow:.2f} s, ours {fast:.2f} s, "
            f"ratio {slow / fast:.1f} (aim 3)"
        )
    print("\n".join(lines))
    if out is not None:
        with open(out, "a", encoding="utf-8") as handle:
            handle.write("\n".join(lines) + "\n")


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
