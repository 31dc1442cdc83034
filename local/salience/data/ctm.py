"""Words with their times, in files of NIST's CTM format: utterance, channel, start and length in seconds, word."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from salience.data.tables import iterate_table
from salience.errors import RERUN, InputError
from salience.files import whole_file


class Word(NamedTuple):
    """A word in lower case, and when in its utterance it is said, in seconds."""

    text: str
    start: float
    end: float


def write_ctm(path: Path, words: Mapping[str, Sequence[Word]]) -> None:
    """Write the words of each utterance."""
    with whole_file(path) as handle:
        for key, spoken in words.items():
            handle.writelines(f"{key} 1 {w.start:.2f} {w.end - w.start:.2f} {w.text}\n" for w in spoken)


def read_ctm(path: Path) -> dict[str, list[Word]]:
    """The words of each utterance; what stands behind a word in its line, such as a confidence, is passed over."""
    found: dict[str, list[Word]] = {}
    for number, key, value in iterate_table(path):
        try:
            _, start, length, text, *_ = value.split()
            word = Word(text.lower(), float(start), float(start) + float(length))
        except ValueError:
            fault = "needs utterance, channel, start and length in seconds, and a word"
            raise InputError(f"{path}:{number}: the line of {key} {fault}; correct it or {RERUN}", path) from None
        found.setdefault(key, []).append(word)
    return found
