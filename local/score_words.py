#!/usr/bin/env python3
"""Score the hypotheses of sets: WER and CER, raw and normalised."""

from itertools import product
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.scoring.score_files import score_texts


def score_words(
    ref: str,
    hyp: str,
    utt2spk: str,
    out: str,
    sets: str = "",
    of: str = "",
    normaliser: str = "whisper-english",
    utt2accent: str | None = None,
    lowercase: bool = False,
) -> None:
    """Score hypotheses against references, joined by utterance id.

    Reads two Kaldi texts; writes into OUT `wer` and `cer` (Kaldi's lines, raw
    and normalised, for all and per accent), `alignments_raw.txt` and
    `alignments_normalised.txt`, `ref.trn` and `hyp.trn` (for sclite, raw) and
    `counts.json` (errors per utterance, for collect_results.py).  A missing
    hypothesis counts as deletions, an unknown one is an error; how many were
    cut off is read from `truncated` beside HYP, where decoding left one.  With
    --sets, `{set}` in every path stands for each of them in turn; with --of,
    so does `{of}` in --hyp and --out.

    Args:
        ref: Text of the references.
        hyp: Text of the hypotheses; a key alone is an empty hypothesis.
        utt2spk: Speakers of the references.
        out: Folder to write into.
        sets: Sets to score, separated by spaces.
        of: What {of} stands for, separated by spaces: recognisers, for instance.
        normaliser: Names of the text normalisers, separated by spaces, each applied to both sides; the last one's
            score is the normalised one, which systems are compared by.
        utt2accent: Accents of the references, for a score per accent; may be absent for some sets.
        lowercase: Whether even the raw score is on lower-cased texts, because the recogniser was trained on
            lower case and the references are not; the result says so.
    """
    paths = [ref, hyp, utt2spk, out] + ([utt2accent] if utt2accent else [])
    if sets and any("{set}" not in path for path in paths):
        raise InputError("with --sets, every path needs {set} in it")
    if of and not ("{of}" in hyp and "{of}" in out):
        raise InputError("with --of, --hyp and --out need {of} in them")
    for name, one in product(sets.split() or [""], of.split() or [""]):
        filled = [Path(path.replace("{set}", name).replace("{of}", one)) for path in paths]
        score_texts(*filled[:4], filled[4] if utt2accent else None, normaliser, lowercase)


if __name__ == "__main__":
    program.main(score_words)
