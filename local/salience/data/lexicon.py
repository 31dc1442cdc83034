"""Pronouncing dictionaries of English in the format of CMUdict 0.7b, and what is known of their phones."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from salience.errors import InputError
from salience.files import foreign

Lexicon = Mapping[str, tuple[str, ...]]
"""The phones of each word in lower case, without stress."""


class Phone(NamedTuple):
    """A phone of the ARPAbet as CMUdict writes it.

    Args:
        kind: Class by manner, and for fricatives and liquids by place, as accents differ in these.
        milliseconds: Inherent duration (Klatt 1979, "Synthesis by rule of segmental durations in English sentences").
    """

    kind: str
    milliseconds: float


def _phones() -> dict[str, Phone]:
    with open(Path(__file__).with_name("phones.tsv"), encoding="utf-8") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return {row["phone"]: Phone(row["class"], float(row["milliseconds"])) for row in rows}


PHONES = _phones()
_VARIANT = re.compile(r"\(\d+\)$")


def read_lexicon(path: Path) -> dict[str, tuple[str, ...]]:
    """The first pronunciation of each word.

    A line is a word and its phones: `READ  R IY1 D`.  Variants are `READ(1)`;
    lines that begin with `;;;` and what follows ` #` are comments.  Case does
    not matter.

    Args:
        path: File in UTF-8, or in Latin-1 as CMUdict 0.7b is for the sake of one word.
    """
    path = Path(path)
    with foreign(path, "cannot be read", "give another file with --lexicon"):
        written = path.read_bytes()
    try:
        text = written.decode()
    except UnicodeDecodeError:
        text = written.decode("latin-1")
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        word, *phones = ([] if line.startswith(";;;") else line.partition(" #")[0].split()) or [""]
        if not word:
            continue
        bare = tuple(phone.rstrip("0123456789").upper() for phone in phones)
        unknown = next((phone for phone in bare if phone not in PHONES), None)
        if not bare or unknown is not None:
            fault = "has no phones" if unknown is None else f"has {unknown!r}, which is no phone of CMUdict"
            raise InputError(f"{path}:{number}: {word} {fault} ({', '.join(PHONES)}); correct it or give another file")
        found.setdefault(_VARIANT.sub("", word).lower(), bare)
    if not found:
        raise InputError(f"{path} has no word in it; give a lexicon such as CMUdict with --lexicon")
    return found
