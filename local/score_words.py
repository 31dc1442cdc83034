#!/usr/bin/env python3
"""Score the hypotheses of one set: WER and CER, raw and normalised."""

import json
import logging
from pathlib import Path

from salience import program
from salience.data.normalisers import apply
from salience.data.normalisers import normaliser as resolve
from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import whole_file
from salience.scoring.alignment import REFERENCE, character_counts, errors, readable, word_counts
from salience.scoring.wer import join_by_id, kaldi_report, rate, trn_lines
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


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
    cut off is read from `truncated` beside HYP, where decoding left one.  With --sets,
    `{set}` in every path stands for each of them in turn; with --of, so does
    `{of}` in --hyp and --out.

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
        lowercase: Whether even the raw score is on lower-cased texts, because the recogniser was
            taught lower case and the references are not; the result says so.
    """
    paths = [ref, hyp, utt2spk, out] + ([utt2accent] if utt2accent else [])
    for name in sets.split() or [""]:
        if sets and any("{set}" not in path for path in paths):
            raise InputError("with --sets, every path needs {set} in it")
        for one in of.split() or [""]:
            if of and not ("{of}" in hyp and "{of}" in out):
                raise InputError("with --of, --hyp and --out need {of} in them")
            score_set(
                *(Path(path.replace("{set}", name).replace("{of}", one)) for path in paths),
                normaliser=normaliser,
                lowercase=lowercase,
            )


def score_set(
    ref: Path, hyp: Path, utt2spk: Path, out: Path, utt2accent: Path | None = None, *, normaliser: str, lowercase: bool
) -> None:
    """Score one set."""
    plain, plain_version = resolve("raw")
    functions = {"raw": plain}
    names = {"raw": f"raw {plain_version}" + (", lower-cased" if lowercase else "")}
    *others, last = normaliser.split() or [normaliser]
    for kind, name in [*((other, other) for other in others), ("normalised", last)]:
        functions[kind], version = resolve(name)
        names[kind] = f"{name} {version}"
    if utt2accent is not None and not utt2accent.exists():
        utt2accent = None
    truncated = hyp.with_name("truncated")
    optional = (utt2accent, truncated if truncated.exists() else None)
    inputs = [ref, hyp, utt2spk, *(path for path in optional if path is not None)]
    step = Step(
        out / "step.json",
        {"normalisers": names},
        inputs,
        [out / name for name in [*OUTPUTS, *(f"alignments_{kind}.txt" for kind in names)]],
    )
    if step.is_done():
        return
    joined = join_by_id(read_table(ref), read_table(hyp), str(hyp))
    speakers = _column(utt2spk, joined.ids)
    accents = _column(utt2accent, joined.ids) if utt2accent else None
    if joined.missing:
        logger.warning(
            "%d of %d have no hypothesis and count as deletions, first %s",
            len(joined.missing),
            len(joined.ids),
            joined.missing[0],
        )
    case = str.lower if lowercase else str
    with step:
        reports = {"wer": "", "cer": ""}
        counts = {
            "normalisers": names,
            "ids": joined.ids,
            "speakers": speakers,
            "accents": accents,
            "missing": joined.missing,
            "truncated": list(read_table(truncated)) if truncated.exists() else [],
        }
        for kind, function in functions.items():
            references = apply(function, [case(text) for text in joined.references])
            hypotheses = apply(function, [case(text) for text in joined.hypotheses])
            words, characters = word_counts(references, hypotheses), character_counts(references, hypotheses)
            reports["wer"] += kaldi_report(words, joined, names[kind], accents, "WER")
            reports["cer"] += kaldi_report(characters, joined, names[kind], accents, "CER")
            counts[kind] = {
                "words": words[:, REFERENCE].tolist(),
                "word_errors": errors(words).tolist(),
                "characters": characters[:, REFERENCE].tolist(),
                "character_errors": errors(characters).tolist(),
            }
            lines = (f"{key} {readable(r, h)}\n" for key, r, h in zip(joined.ids, references, hypotheses))
            with whole_file(out / f"alignments_{kind}.txt") as handle:
                handle.writelines(lines)
            if kind == "raw":
                _write(out / "ref.trn", trn_lines(joined.ids, references, speakers))
                _write(out / "hyp.trn", trn_lines(joined.ids, hypotheses, speakers))
            logger.info("%s, %s: WER %.2f, CER %.2f", out, names[kind], rate(words), rate(characters))
        for name, text in reports.items():
            _write(out / name, text)
        _write(out / "counts.json", json.dumps(counts, ensure_ascii=False, separators=(",", ":")) + "\n")


OUTPUTS = ("wer", "cer", "ref.trn", "hyp.trn", "counts.json")


def _column(path: Path, ids: list[str]) -> list[str]:
    table = read_table(path)
    for key in ids:
        if key not in table:
            raise InputError(f"{path} has no line for {key}; run utils/fix_data_dir.sh on its folder")
    return [table[key] for key in ids]


def _write(path: Path, text: str) -> None:
    with whole_file(path) as handle:
        handle.write(text)


if __name__ == "__main__":
    program.main(score_words)
