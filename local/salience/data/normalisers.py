"""Text normalisers by name, each with the version that belongs beside every figure it made.

raw              nothing but white space: words separated by one space
whisper-english  openai-whisper's normaliser for English: case, punctuation, contractions,
                 British spelling, numbers.  It drops the hesitations hmm, mm, mhm, mmm, uh and
                 um; of EdAcc's others (ah, eh, er, erm, uh-huh) it drops none.  It joins spoken
                 digits ("one two" becomes "12", one word), so digit strings need `digit-words`
whisper-basic    openai-whisper's normaliser for any language: case, punctuation, brackets
digit-words      whisper-basic, then each figure as its English word: "12" and "one two" agree
"""

import re
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


def _squeezed(function: Normalise) -> Normalise:
    """openai-whisper's normalisers may leave a space at either end, a character for the CER."""
    return lambda text: squeeze(function(text))


_MAKERS = {
    "raw": _raw,
    "whisper-english": _whisper_english,
    "whisper-basic": _whisper_basic,
    "digit-words": _digit_words,
}
