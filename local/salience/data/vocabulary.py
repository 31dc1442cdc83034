"""Symbols of CTC models that write Catalan, and which sentences they can write.

One symbol a line in tokens.txt; a symbol's line is its number, from 0.  The
list is what transformers' Wav2Vec2CTCTokenizer takes as its vocabulary.
"""

import unicodedata
from pathlib import Path
from string import ascii_lowercase

from salience.errors import InputError
from salience.files import read_lines

PAD, UNKNOWN, BOUNDARY = "[PAD]", "[UNK]", "|"
"""[PAD] is the blank of CTC."""

ACCENTED = "àèéíïòóúüç"
SIGNS = "'-·"

CATALAN = (PAD, UNKNOWN, BOUNDARY, *SIGNS, *ascii_lowercase, *ACCENTED)
"""All that the normaliser `catalan` leaves of a Catalan sentence; 42 symbols."""

LEGACY = (" ", "'", "-", *ascii_lowercase, "à", "ç", "ü", UNKNOWN, PAD, "<s>", "</s>")
"""The vocabulary published with "Amplifying Voices" (2024).

It has a space and no `|`, which the tokenizer puts in a space's place before
it looks it up, and it lacks è é í ï ò ó ú and the dot of l·l: every word
boundary and most accented letters become [UNK].  So it is with
`symbols.Symbols` and with transformers 4; transformers 5 gives `|` a number behind the list's last,
for which a model with as many outputs as symbols has none.
"""

READ_ALOUD = frozenset("%&@#§°‰")
"""Signs that are words when read; the normaliser removes them as it does all signs, so the text lacks a word."""


def read_vocabulary(path: Path) -> dict[str, int]:
    """Symbol to number; a list without [PAD] and [UNK], or with a symbol that appears twice, is an InputError."""
    symbols = read_lines(path, "prepare_vocabulary.py")
    if not {PAD, UNKNOWN} <= set(symbols) or len(symbols) != len(set(symbols)):
        raise InputError(
            f"{path} is no list of different symbols with {PAD} and {UNKNOWN} among them; "
            "write it with prepare_vocabulary.py"
        )
    return {symbol: number for number, symbol in enumerate(symbols)}


def unwritable(sentence: str, normalised: str) -> str | None:
    """Why a sentence has no transcript in the symbols of CATALAN; None if it has one.

    `normalised` is the sentence after the normaliser `catalan`.
    """
    if not normalised:
        return "no words"
    if any(unicodedata.category(character).startswith("N") for character in normalised):
        return "figures, which nothing here spells out"
    if any(c in READ_ALOUD or unicodedata.category(c) in ("Sc", "Sm") for c in sentence):
        return "signs that are read aloud, such as % & €"
    if set(normalised) - set(CATALAN) - {" "}:
        return "letters that Catalan does not have"
    return None
