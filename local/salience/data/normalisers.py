"""Text normalisers by name, each with the version that belongs beside every figure it made.

raw              nothing but white space: words separated by one space
whisper-english  openai-whisper's normaliser for English: case, punctuation, contractions,
                 British spelling, numbers.  It drops the hesitations hmm, mm, mhm, mmm, uh and
                 um; of EdAcc's others (ah, eh, er, erm, uh-huh) it drops none.  It joins spoken
                 digits ("one two" becomes "12", one word), so digit strings need `digit-words`.
                 Before it, whatever stands for an apostrophe becomes one: the library knows no other
whisper-basic    openai-whisper's normaliser for any language: case, punctuation, brackets; before it,
                 apostrophes as above
digit-words      whisper-basic, then each figure as its English word: "12" and "one two" agree
catalan          lower case, composed accents, one way to write l·l, apostrophes and hyphens; other
                 punctuation becomes a space.  Figures stay figures: nothing here spells them out
paper-catalan    that of "Amplifying Voices" (2024): lower case, only letters, figures and spaces,
                 so "l'home" becomes "lhome" and "col·lecció" "collecció"
persian          Persian letters for their Arabic and Urdu doubles, presentation forms as letters, any
                 figures as 0 to 9; without vowel signs, hamza above, tatweel and marks of direction;
                 punctuation and the zero-width non-joiner become a space.  Figures stay figures
persian-joined   the same, but what the zero-width non-joiner parts is one word

Persian has no library here: hazm's normaliser is made for printing.  It puts in non-joiners by
rules of its own, where a score should take none for wrong, and needs a dozen packages.
"""

import functools
import itertools
import multiprocessing
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from importlib import metadata

from salience.errors import InputError

Normalise = Callable[[str], str]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def normaliser(name: str) -> tuple[Normalise, str]:
    """Resolve a name to (function, version); an unknown name is an InputError that lists the names.

    The function maps a transcript to words separated by one space, possibly none.
    """
    if name not in _MAKERS:
        raise InputError(f"there is no normaliser named {name!r}; choose one of {', '.join(_MAKERS)}")
    return _MAKERS[name]()


MANY = 50_000
"""From this many different texts on, all processors are used."""


def apply(normalise: Normalise, texts: Sequence[str]) -> list[str]:
    """Normalise many texts, each different one once; many of them on all processors that this process may use."""
    different = list(dict.fromkeys(texts))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if len(different) < MANY or processors == 1 or normalise is squeeze:
        done = list(map(normalise, different))
    else:
        global _shared
        # What a process made by fork inherits need not be sent to it, and functions of functions cannot be.
        _shared = normalise
        with multiprocessing.get_context("fork").Pool(processors) as pool:
            done = pool.map(_apply_shared, different, chunksize=5000)
    found = dict(zip(different, done, strict=True))
    return [found[text] for text in texts]


_shared: Normalise = str


def _apply_shared(text: str) -> str:
    return _shared(text)


def squeeze(text: str) -> str:
    """Single spaces between words, none around them."""
    return " ".join(text.split())


def _raw() -> tuple[Normalise, str]:
    return squeeze, "1"


def _whisper_english() -> tuple[Normalise, str]:
    # Imported where it is used: the package loads torch.
    from whisper.normalizers import EnglishTextNormalizer

    library = EnglishTextNormalizer()
    return _by_words(_with_apostrophes(library), library.standardize_numbers.words), _whisper_version()


def _by_words(whole: Normalise, numbers: Collection[str]) -> Normalise:
    """openai-whisper's English normaliser, several times as fast on texts of nothing but words.

    There, only words of numbers and amounts touch each other ("and a half"
    aside), so that most words stay as they are and each run of the others can
    be looked up.  All other texts go through the library's patterns as a whole.
    """
    changed = functools.lru_cache(100_000)(whole)

    @functools.lru_cache(500_000)
    def stays(word: str) -> bool:
        return word not in numbers and whole(word) == word

    def normalise(text: str) -> str:
        words = text.lower().split()
        letters = "".join(words)
        if not (letters.isascii() and letters.isalpha()) or "half" in words:
            return whole(text)
        parts: list[str] = []
        for alone, run in itertools.groupby(words, stays):
            alike = list(run)
            parts += alike if alone else [changed(" ".join(alike))]
        return " ".join(filter(None, parts))

    return normalise


def _whisper_basic() -> tuple[Normalise, str]:
    from whisper.normalizers import BasicTextNormalizer

    return _with_apostrophes(BasicTextNormalizer()), _whisper_version()


def _whisper_version() -> str:
    return f"{metadata.version('openai-whisper')}+1"


def _digit_words() -> tuple[Normalise, str]:
    basic, version = _whisper_basic()

    def normalise(text: str) -> str:
        return squeeze(re.sub("[0-9]", lambda figure: f" {DIGITS[int(figure[0])]} ", basic(text)))

    return normalise, f"1 (whisper-basic {version})"


GEMINATE = re.compile(r"(?<=l)[.\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65](?=l)")
"""What people put between the two letters of l·l."""

_APOSTROPHES = dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u00b4`\u2032\uff07", "'")
"""What people and keyboards put for an apostrophe."""
_AN_APOSTROPHE = str.maketrans(_APOSTROPHES)
_ONE_SIGN = str.maketrans(
    _APOSTROPHES
    # The em dash is no hyphen, even where no space is around it.
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
)


def _catalan() -> tuple[Normalise, str]:
    def normalise(text: str) -> str:
        # Invisible characters (soft hyphens, joiners, marks of direction) first: they part letters from their accents.
        seen = "".join(character for character in text if unicodedata.category(character) != "Cf")
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).lower())
        plain = plain.replace("\u0140", "l\u00b7").replace("\u00b7\u00b7", "\u00b7").translate(_ONE_SIGN)
        plain = GEMINATE.sub("\u00b7", plain)
        return squeeze("".join(_kept(plain, place) for place in range(len(plain))))

    return normalise, "1"


def _kept(text: str, place: int) -> str:
    """The character at a place of a lower-case sentence, or the space that takes its place."""
    character, around = text[place], text[max(place - 1, 0) : place + 2]
    if character.isalnum() or unicodedata.category(character).startswith("M"):
        return character
    inside = len(around) == 3 and around[0].isalnum() and around[2].isalnum()
    if (character in "'-" and inside) or around == "l\u00b7l":
        return character
    return " "


def _paper_catalan() -> tuple[Normalise, str]:
    def normalise(text: str) -> str:
        return squeeze("".join(c for c in text.lower() if c.isalnum() or c.isspace()))

    return normalise, "1"


NON_JOINER = "\u200c"
"""The zero-width non-joiner, which parts a Persian word from its ending: who types may put a space or nothing."""

_PERSIAN_LETTERS = str.maketrans(
    dict.fromkeys("\u064a\u0649\u06d2", "\u06cc")  # ye: Arabic, without dots, Urdu
    | dict.fromkeys("\u0643\u06aa", "\u06a9")  # kaf: Arabic, Sindhi
    | dict.fromkeys(
        "\u0629\u06c0\u06c1\u06c2\u06c3\u06be\u06d5", "\u0647"
    )  # he: with two dots or a hamza, Urdu, Kurdish
    | dict.fromkeys("\u0623\u0625\u0671\u0672\u0673", "\u0627")  # alef: with a hamza, of connection
    # Signs that Unicode counts among the letters (tatweel, high hamza, small waw and ye), and what parts thousands.
    | dict.fromkeys("\u0640\u0674\u06e5\u06e6\u066c", "")
)
_SIGNS_ALONE = re.compile("[\ufe70-\ufe7f\ufc5e-\ufc63\ufcf2-\ufcf4]")
"""Presentation forms of vowel signs.  NFKC would put a space before them."""


def _persian(between: str) -> tuple[Normalise, str]:
    """`between` takes the non-joiner's place."""

    def normalise(text: str) -> str:
        seen = _SIGNS_ALONE.sub("", text).replace(NON_JOINER, between)
        seen = "".join(character for character in seen if unicodedata.category(character) != "Cf")
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).lower())
        # A ye with a hamza is a letter of its own, however its hamza was typed.
        plain = re.sub("[\u06cc\u0649]\u0654", "\u0626", plain).translate(_PERSIAN_LETTERS)
        kept = (_persian_character(character) for character in plain)
        # What a removed sign stood between may belong together.
        return squeeze(unicodedata.normalize("NFC", "".join(kept)))

    return normalise, "1"


def _persian_character(character: str) -> str:
    """A letter as it is, a figure as 0 to 9, nothing for a sign above or below, a space for all else."""
    if unicodedata.category(character).startswith("M"):
        return ""
    if (figure := unicodedata.decimal(character, None)) is not None:
        return str(figure)
    return character if character.isalnum() else " "


def _with_apostrophes(function: Normalise) -> Normalise:
    """openai-whisper's normalisers know one apostrophe, and may leave a space at either end, which the CER counts."""
    return lambda text: squeeze(function(text.translate(_AN_APOSTROPHE)))


_MAKERS = {
    "raw": _raw,
    "whisper-english": _whisper_english,
    "whisper-basic": _whisper_basic,
    "digit-words": _digit_words,
    "catalan": _catalan,
    "paper-catalan": _paper_catalan,
    "persian": functools.partial(_persian, " "),
    "persian-joined": functools.partial(_persian, ""),
}
