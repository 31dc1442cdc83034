#!/usr/bin/env python3
"""Score recognised commands: how many utterances were taken for another word."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from salience import program
from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import whole_file
from salience.scoring.results import find, only_seeds, system_of
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)

NORMALISER = "exact"
"""A word is right or wrong as it stands."""


@dataclass(frozen=True)
class References:
    """The words of one set: ids sorted as in the tables, and the files they are from."""

    text: Path
    utt2spk: Path
    words: dict[str, str]
    speakers: list[str]


def score_commands(data: Path, hyp: str, out: str, only: str = "") -> None:
    """Score every text that a pattern finds against the reference of its set, joined by utterance id.

    Writes into each folder OUT `error`, one line in Kaldi's manner, and
    `counts.json` (errors per utterance, for collect_command_results.py).  A
    missing hypothesis is wrong, an unknown one an error.  What is up to date
    is skipped.

    Args:
        data: Folder of the data directories.  The references of a set are in DATA/<set>, or, if there are none,
            in DATA/<set>/<snr>.
        hyp: Pattern of the texts, such as 'exp/decode/{system}/seed{seed}/{set}/text', with {set} and any other
            placeholders; each text has an utterance and its word a line.
        out: Folder to write into, with the same placeholders.
        only: Systems and seeds to score, such as 'baseline/1 null/1'; the default is all.
    """
    seeds = only_seeds(only)
    known: dict[Path, References] = {}
    folders: set[Path] = set()
    done = 0
    for fields, text in find(hyp):
        if "set" not in fields:
            raise InputError(f"--hyp {hyp} needs the placeholder {{set}}")
        # What an earlier run with other options has left is not asked for.
        if seeds and int(fields.get("seed", 0)) not in seeds.get(system_of(fields), ()):
            continue
        try:
            folder = Path(out.format(**fields))
        except (KeyError, IndexError, ValueError):
            raise InputError(f"--out {out} may have the placeholders of --hyp, {hyp}, and no others") from None
        if folder in folders:
            raise InputError(f"--out {out} needs every placeholder of --hyp, {hyp}: two scores would be in {folder}")
        folders.add(folder)
        source = data / fields["set"]
        if not (source / "text").exists() and "snr" in fields:
            source = source / fields["snr"]
        if source not in known:
            known[source] = read_references(source)
        with _without_skips():
            done += score_set(known[source], text, folder)
    logger.info("%d sets are scored, %d of them now", len(folders), done)


@contextmanager
def _without_skips() -> Iterator[None]:
    """Thousands of lines on what is up to date would hide the rest."""
    steps = logging.getLogger("salience.steps")
    steps.addFilter(_is_no_skip)
    try:
        yield
    finally:
        steps.removeFilter(_is_no_skip)


def _is_no_skip(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("up to date")


def read_references(folder: Path) -> References:
    """Read a data directory's words and speakers."""
    words, speakers = read_table(folder / "text"), read_table(folder / "utt2spk")
    if not words:
        raise InputError(f"{folder / 'text'} is empty; run the data stage again")
    for key, word in words.items():
        if len(word.split()) != 1:
            raise InputError(f"{folder / 'text'}: {key} has the text '{word}', which is not one word; correct it")
        if key not in speakers:
            raise InputError(f"{folder / 'utt2spk'} has no line for {key}; run utils/fix_data_dir.sh on its folder")
    ids = sorted(words, key=str.encode)
    return References(
        folder / "text", folder / "utt2spk", {key: words[key] for key in ids}, [speakers[key] for key in ids]
    )


def score_set(references: References, hyp: Path, out: Path) -> bool:
    """Score one text; False if its score is up to date."""
    inputs = [references.text, references.utt2spk, hyp]
    step = Step(
        out / "step.json", {"normaliser": NORMALISER}, inputs, [out / name for name in ("error", "counts.json")]
    )
    if step.is_done():
        return False
    heard = read_table(hyp)
    unknown = sorted(heard.keys() - references.words.keys())
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(f"{hyp} has {unknown[0]}{more}, unknown to {references.text}; decode that set again")
    missing = [key for key in references.words if key not in heard]
    if missing:
        logger.warning(
            "%s lacks %d of %d, which count as wrong, first %s", hyp, len(missing), len(references.words), missing[0]
        )
    wrong = [int(heard.get(key) != word) for key, word in references.words.items()]
    counts = {
        "normalisers": {"raw": NORMALISER, "normalised": NORMALISER},
        "ids": list(references.words),
        "speakers": references.speakers,
        "accents": None,
        "missing": missing,
        "raw": {"utterances": [1] * len(wrong), "utterance_errors": wrong},
    }
    total = f"{100 * sum(wrong) / len(wrong):.2f} [ {sum(wrong)} / {len(wrong)} ]"
    with step:
        with whole_file(out / "counts.json") as handle:
            handle.write(json.dumps(counts, ensure_ascii=False, separators=(",", ":")) + "\n")
        with whole_file(out / "error") as handle:
            handle.write(f"%ERROR {total} {NORMALISER}\n")
    return True


if __name__ == "__main__":
    program.main(score_commands)
