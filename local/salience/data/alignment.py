"""Alignment of a hypothesis with its reference, and counts of what it costs.

All counts are of a Levenshtein alignment, where each error costs one, as in
Kaldi's `compute-wer`.  sclite charges 4 for a substitution and 3 for the
others, so on text that is mostly wrong it may count a few errors more.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from salience.data.bidi import END, RIGHT_TO_LEFT, goes_right_to_left, isolated

REFERENCE, INSERTIONS, DELETIONS, SUBSTITUTIONS = range(4)
"""Columns of a table of counts; the first is the length of the reference."""


def count(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int, int]:
    """Tokens of the reference, insertions, deletions and substitutions.

    A token is an element: a word of a list, a character of a string.
    """
    if reference == hypothesis:
        return len(reference), 0, 0, 0
    operations = Levenshtein.editops(reference, hypothesis).as_list()
    substitutions = [operation[0] for operation in operations].count("replace")
    others = len(operations) - substitutions
    # insertions - deletions is the difference of the lengths, which spares counting both.
    insertions = (others + len(hypothesis) - len(reference)) // 2
    return len(reference), insertions, others - insertions, substitutions


def word_counts(references: Iterable[str], hypotheses: Iterable[str]) -> np.ndarray:
    """Counts of each pair of texts in words: (pairs, 4), columns as named above."""
    return _table(count(r.split(), h.split()) for r, h in zip(references, hypotheses, strict=True))


def character_counts(references: Iterable[str], hypotheses: Iterable[str]) -> np.ndarray:
    """Counts of each pair of texts in characters: (pairs, 4).

    The single space between two words counts as a character, as in jiwer.
    """
    pairs = zip(references, hypotheses, strict=True)
    return _table(count(" ".join(r.split()), " ".join(h.split())) for r, h in pairs)


def _table(rows: Iterable[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(list(rows), dtype=np.int64).reshape(-1, 4)


def errors(counts: np.ndarray) -> np.ndarray:
    """Errors of each row of a table of counts."""
    return counts[..., INSERTIONS] + counts[..., DELETIONS] + counts[..., SUBSTITUTIONS]


def rate(counts: np.ndarray) -> float:
    """Error rate in percent of a table of counts (pairs, 4); nan when the references hold nothing."""
    length = int(counts[:, REFERENCE].sum())
    return 100 * int(errors(counts).sum()) / length if length else float("nan")


def word_error_rate(references: Iterable[str], hypotheses: Iterable[str]) -> float:
    """Errors per word of the references, in percent."""
    return rate(word_counts(references, hypotheses))


def character_error_rate(references: Iterable[str], hypotheses: Iterable[str]) -> float:
    """Errors per character of the references, spaces between words included, in percent."""
    return rate(character_counts(references, hypotheses))


def segments(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[Sequence[str], Sequence[str]]]:
    """The alignment as runs of tokens, alternately equal on both sides and different."""
    runs: list[tuple[Sequence[str], Sequence[str]]] = []
    different = False
    for tag, start, end, hyp_start, hyp_end in Levenshtein.opcodes(reference, hypothesis):
        if tag != "equal" and different:
            before, hyp_before = runs.pop()
            start, hyp_start = start - len(before), hyp_start - len(hyp_before)
        runs.append((reference[start:end], hypothesis[hyp_start:hyp_end]))
        different = tag != "equal"
    return runs


def readable(reference: str, hypothesis: str) -> str:
    """One line that shows both texts: `THE ASSOCIATION OF (EDISON->ADDISON) ILLUMINATING`.

    `*` stands for nothing: `(*->A)` is an insertion, `(A->*)` a deletion.
    Where one of the texts goes from right to left, so does the line: marks of
    Unicode's bidirectional algorithm, which take no room, keep what is said
    before what is heard, whatever stands around the line or within a word.
    """
    backwards = goes_right_to_left(reference + hypothesis)

    def side(words: Sequence[str]) -> str:
        text = " ".join(words) or "*"
        return isolated(text) if backwards else text

    runs = segments(reference.split(), hypothesis.split())
    line = " ".join(" ".join(a) if a == b else f"({side(a)}->{side(b)})" for a, b in runs)
    return f"{RIGHT_TO_LEFT}{line}{END}" if backwards else line
