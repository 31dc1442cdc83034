"""Text normalisers by name, each with the version that belongs beside every figure it made.

raw              nothing but white space: words separated by one space
whisper-english  openai-whisper's normaliser for English: case, punctuation, contractions,
                 British spelling, numbers.  It drops the hesitations hmm, mm, mhm, mmm, uh and
                 um; of EdAcc's others (ah, eh, er, erm, uh-huh) it drops none.  It joins spoken
                 digits ("one two" becomes "12", one word), so digit strings need `digit-words`
whisper-basic    openai-whisper's normaliser for any language: case, punctuation, brackets
digit-words      whisper-basic, then each figure as its English word: "12" and "one two" agree
catalan          lower case, composed accents, one way to write l·l, apostrophes and hyphens; other
                 punctuation becomes a space.  Figures stay figures: nothing here spells them out
paper-catalan    that of "Amplifying Voices" (2024): lower case, only letters, figures and spaces,
                 so "l'home" becomes "lhome" and "col·lecció" "collecció"
"""

import re
import unicodedata
from collections.abc import Callable
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


def squeeze(text: str) -> str:
    """Single spaces between words, none around them."""
    return " ".join(text.split())


def _raw() -> tuple[Normalise, str]:
    return squeeze, "1"


def _whisper_english() -> tuple[Normalise, str]:
    # Imported where it is used: the package loads torch.
    from whisper.normalizers import EnglishTextNormalizer

    return _squeezed(EnglishTextNormalizer()), metadata.version("openai-whisper")


def _whisper_basic() -> tuple[Normalise, str]:
    from whisper.normalizers import BasicTextNormalizer

    return _squeezed(BasicTextNormalizer()), metadata.version("openai-whisper")


def _digit_words() -> tuple[Normalise, str]:
    basic, version = _whisper_basic()

    def normalise(text: str) -> str:
        return squeeze(re.sub("[0-9]", lambda figure: f" {DIGITS[int(figure[0])]} ", basic(text)))

    return normalise, f"1 (whisper-basic {version})"


GEMINATE = re.compile(r"(?<=l)[.\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65](?=l)")
"""What people put between the two letters of l·l."""

_ONE_SIGN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u00b4`\u2032\uff07", "'")
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
    if character in "'-" and inside or around == "l\u00b7l":
        return character
    return " "


def _paper_catalan() -> tuple[Normalise, str]:
    def normalise(text: str) -> str:
        return squeeze("".join(c for c in text.lower() if c.isalnum() or c.isspace()))

    return normalise, "1"


def _squeezed(function: Normalise) -> Normalise:
    """openai-whisper's normalisers may leave a space at either end, a character for the CER."""
    return lambda text: squeeze(function(text))


_MAKERS = {
    "raw": _raw,
    "whisper-english": _whisper_english,
    "whisper-basic": _whisper_basic,
    "digit-words": _digit_words,
    "catalan": _catalan,
    "paper-catalan": _paper_catalan,
}
