#!/usr/bin/env python3
"""Score recognised keywords: how many utterances were taken for another word."""

import logging
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.scoring.patterns import find, names, only_seeds
from salience.scoring.rates import system_of
from salience.scoring.score_files import score_keywords as score_set

logger = logging.getLogger(Path(__file__).name)


def score_keywords(data: Path, hyp: str, out: str, only: str = "") -> None:
    """Score every text that a pattern finds against the reference of its set, joined by utterance id.

    Writes into each folder OUT `error`, one line in Kaldi's manner, and
    `counts.json` (errors per utterance, for collect_results.py).  A missing
    hypothesis is wrong, an unknown one an error.  What is up to date is
    skipped.

    Args:
        data: Folder of the data directories.  The references of a set are in DATA/<set>, or, if there are none,
            in DATA/<set>/<snr>.
        hyp: Pattern of the texts, such as 'exp/decode/{system}/seed{seed}/{set}/text', with {set} and any other
            placeholders; each text has an utterance and its word a line.
        out: Folder to write into, with the same placeholders.
        only: Systems and seeds to score, such as 'baseline/1 null/1'; the default is all.
    """
    if "set" not in names(hyp):
        raise InputError(f"--hyp {hyp} needs the placeholder {{set}}")
    seeds = only_seeds(only)
    found = [
        (fields, text)
        for fields, text in find(hyp)
        # What an earlier run with other options has left is not asked for.
        if not seeds or int(fields.get("seed", 0)) in seeds.get(system_of(fields), ())
    ]
    folders: set[Path] = set()
    # Thousands of lines on what is up to date would hide the rest.
    steps = logging.getLogger("salience.steps")
    steps.addFilter(_is_no_skip)
    try:
        done = 0
        for fields, text in found:
            folder = _folder(hyp, out, fields)
            if folder in folders:
                raise InputError(
                    f"--out {out} needs every placeholder of --hyp, {hyp}: two scores would be in {folder}"
                )
            folders.add(folder)
            source = data / fields["set"]
            if not (source / "text").exists() and "snr" in fields:
                source = source / fields["snr"]
            done += score_set(source, text, folder)
    finally:
        steps.removeFilter(_is_no_skip)
    logger.info("%d sets are scored, %d of them now", len(folders), done)


def _folder(hyp: str, out: str, fields: dict[str, str]) -> Path:
    try:
        return Path(out.format(**fields))
    except (KeyError, IndexError, ValueError):
        raise InputError(f"--out {out} may have the placeholders of --hyp, {hyp}, and no others") from None


def _is_no_skip(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("up to date")


if __name__ == "__main__":
    program.main(score_keywords)
