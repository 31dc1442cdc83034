"""Word and character error rates of a set, joined by utterance id, in Kaldi's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from salience.data.alignment import DELETIONS, INSERTIONS, REFERENCE, SUBSTITUTIONS, errors, rate
from salience.errors import InputError


@dataclass(frozen=True)
class Joined:
    """References and hypotheses of the same utterances, sorted by id; a missing hypothesis is empty."""

    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    missing: list[str]


def join_by_id(references: Mapping[str, str], hypotheses: Mapping[str, str], source: str = "the hypotheses") -> Joined:
    """Join two tables by utterance id, whatever the order of their lines.

    A reference without hypothesis is kept: its words count as deletions.  A
    hypothesis without reference is an InputError that names `source`.
    """
    if not references:
        raise InputError("there is no reference to score against; check the text of the set")
    unknown = sorted(set(hypotheses) - set(references))
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(f"{source} has {unknown[0]}{more}, unknown to the references; decode their set again")
    ids = sorted(references, key=str.encode)
    return Joined(
        ids=ids,
        references=[references[key] for key in ids],
        hypotheses=[hypotheses.get(key, "") for key in ids],
        missing=[key for key in ids if key not in hypotheses],
    )


def kaldi_lines(counts: np.ndarray, missing: int, name: str = "WER") -> str:
    """The three lines that Kaldi's `compute-wer` prints; `name` is WER or CER."""
    total = counts.sum(axis=0)
    wrong = int(np.count_nonzero(errors(counts)))
    sentences = len(counts)
    return (
        f"%{name} {rate(counts):.2f} [ {errors(total)} / {total[REFERENCE]}, {total[INSERTIONS]} ins, "
        f"{total[DELETIONS]} del, {total[SUBSTITUTIONS]} sub ]\n"
        f"%SER {100 * wrong / sentences:.2f} [ {wrong} / {sentences} ]\n"
        f"Scored {sentences} sentences, {missing} not present in hyp.\n"
    )


def kaldi_report(
    counts: np.ndarray, joined: Joined, title: str, groups: Sequence[str] | None = None, name: str = "WER"
) -> str:
    """Kaldi's lines for all utterances, then for each group of them (an accent), under `#` titles."""
    lines = f"# {title}: all\n" + kaldi_lines(counts, len(joined.missing), name)
    if groups is not None:
        labels, absent = np.array(groups), np.isin(joined.ids, joined.missing)
        for group in sorted(set(groups)):
            chosen = labels == group
            lines += f"# {title}: {group}\n" + kaldi_lines(counts[chosen], int(absent[chosen].sum()), name)
    return lines


def trn_lines(ids: Sequence[str], texts: Sequence[str], speakers: Sequence[str]) -> str:
    """Texts in sclite's transcript format, to be scored with `sclite -i rm -r ref.trn trn -h hyp.trn trn`."""
    return "".join(f"{text} ({speaker}-{key})\n" for key, text, speaker in zip(ids, texts, speakers, strict=True))
