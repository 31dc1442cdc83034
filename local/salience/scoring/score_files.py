"""Scoring one set: what is written beside hypotheses, for people, for sclite and for collect_results.py."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salience.data import normalisers
from salience.data.alignment import REFERENCE, character_counts, errors, rate, readable, word_counts
from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import whole_file
from salience.scoring.wer import Joined, join_by_id, kaldi_report, trn_lines
from salience.steps import Step

logger = logging.getLogger(__name__)

EXACT = "exact"
"""The normaliser of keywords: a word is right or wrong as it stands."""


def score_texts(
    ref: Path, hyp: Path, utt2spk: Path, out: Path, utt2accent: Path | None, normaliser: str, lowercase: bool
) -> None:
    """Score the hypotheses of one set, joined with the references by utterance id; what is up to date is skipped.

    Args:
        ref: Kaldi text of the references.
        hyp: Kaldi text of the hypotheses; how many were cut off is read from `truncated` beside it, where that is.
        utt2spk: Speakers of the references.
        out: Folder to write into.
        utt2accent: Accents of the references; may be absent.
        normaliser: Names of the text normalisers, separated by spaces; the last one's score is the normalised one.
        lowercase: Whether even the raw score is on lower-cased texts.
    """
    functions = _normalisers(normaliser, lowercase)
    versions = {kind: name for kind, (_, name) in functions.items()}
    truncated = hyp.with_name("truncated")
    optional = [path for path in (utt2accent, truncated) if path is not None and path.exists()]
    names = ("wer", "cer", "ref.trn", "hyp.trn", "counts.json", *(f"alignments_{kind}.txt" for kind in functions))
    step = Step(
        out / "step.json", {"normalisers": versions}, [ref, hyp, utt2spk, *optional], [out / name for name in names]
    )
    if step.is_done():
        return
    joined = join_by_id(read_table(ref), read_table(hyp), str(hyp))
    _warn_of_missing(joined, hyp, "deletions")
    speakers = column(utt2spk, joined.ids)
    accents = column(utt2accent, joined.ids) if utt2accent in optional else None
    counts = _counts(joined, speakers, accents, versions)
    counts["truncated"] = list(read_table(truncated)) if truncated in optional else []
    reports = {"wer": "", "cer": ""}
    with step:
        for kind, (function, name) in functions.items():
            case = str.lower if lowercase else str
            references, hypotheses = (
                normalisers.apply(function, [case(text) for text in texts])
                for texts in (joined.references, joined.hypotheses)
            )
            words, characters = word_counts(references, hypotheses), character_counts(references, hypotheses)
            reports["wer"] += kaldi_report(words, joined, name, accents, "WER")
            reports["cer"] += kaldi_report(characters, joined, name, accents, "CER")
            counts[kind] = {
                "words": words[:, REFERENCE].tolist(),
                "word_errors": errors(words).tolist(),
                "characters": characters[:, REFERENCE].tolist(),
                "character_errors": errors(characters).tolist(),
            }
            aligned = (f"{key} {readable(r, h)}\n" for key, r, h in zip(joined.ids, references, hypotheses))
            _write(out / f"alignments_{kind}.txt", "".join(aligned))
            if kind == "raw":
                _write(out / "ref.trn", trn_lines(joined.ids, references, speakers))
                _write(out / "hyp.trn", trn_lines(joined.ids, hypotheses, speakers))
            logger.info("%s, %s: WER %.2f, CER %.2f", out, name, rate(words), rate(characters))
        for name, text in reports.items():
            _write(out / name, text)
        _write(out / "counts.json", _compact(counts))


def _normalisers(names: str, lowercase: bool) -> dict[str, tuple[Any, str]]:
    """The function and the full name of each kind of score: raw, each of several normalisers, and `normalised`."""
    *others, last = names.split() or [names]
    found = {}
    for kind, name in [("raw", "raw"), *((other, other) for other in others), ("normalised", last)]:
        function, version = normalisers.normaliser(name)
        found[kind] = function, f"{name} {version}" + (", lower-cased" if lowercase and kind == "raw" else "")
    return found


def score_keywords(folder: Path, hyp: Path, out: Path) -> bool:
    """Score the keywords recognised in one set: how many were taken for another word; False if that is up to date.

    Args:
        folder: Data directory of the set, in which each text is one word.
        hyp: Kaldi text of the hypotheses.
        out: Folder to write into.
    """
    text, utt2spk = folder / "text", folder / "utt2spk"
    step = Step(
        out / "step.json",
        {"normaliser": EXACT},
        [text, utt2spk, hyp],
        [out / name for name in ("error", "counts.json")],
    )
    if step.is_done():
        return False
    references = read_table(text)
    for key, word in references.items():
        if len(word.split()) != 1:
            raise InputError(f"{text}: {key} has the text '{word}', which is not one word; correct it")
    speakers = column(utt2spk, sorted(references, key=str.encode))
    joined = join_by_id(references, read_table(hyp), str(hyp))
    _warn_of_missing(joined, hyp, "wrong")
    counts = _counts(joined, speakers, None, {"raw": EXACT, "normalised": EXACT})
    wrong = [int(said != word) for word, said in zip(joined.references, joined.hypotheses)]
    counts["raw"] = {"utterances": [1] * len(wrong), "utterance_errors": wrong}
    with step:
        _write(out / "counts.json", _compact(counts))
        share = 100 * sum(wrong) / len(wrong)
        _write(out / "error", f"%ERROR {share:.2f} [ {sum(wrong)} / {len(wrong)} ] {EXACT}\n")
    return True


def column(path: Path, ids: Sequence[str]) -> list[str]:
    """Read what a table has for each of the utterances; one without a line is an InputError."""
    table = read_table(path)
    for key in ids:
        if key not in table:
            raise InputError(f"{path} has no line for {key}; run utils/fix_data_dir.sh on its folder")
    return [table[key] for key in ids]


def _counts(
    joined: Joined, speakers: Sequence[str], accents: Sequence[str] | None, versions: Mapping[str, str]
) -> dict[str, Any]:
    """What counts.json says of utterances of every kind of score."""
    return {
        "normalisers": dict(versions),
        "ids": joined.ids,
        "speakers": list(speakers),
        "accents": accents and list(accents),
        "missing": joined.missing,
    }


def _warn_of_missing(joined: Joined, hyp: Path, count_as: str) -> None:
    if joined.missing:
        numbers = len(joined.missing), len(joined.ids)
        logger.warning("%s lacks %d of %d, which count as %s, first %s", hyp, *numbers, count_as, joined.missing[0])


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as handle:
        handle.write(text)
