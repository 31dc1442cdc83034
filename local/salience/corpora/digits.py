"""Strings of digit words, in three sets without a common sentence."""

import zlib
from collections.abc import Iterator

from salience.data.normalisers import DIGITS
from salience.randomness import generator

TRAIN, DEV, TEST = 0, 1, 2
"""Three disjoint sets of digit strings; see `sentence_set`."""


def sentence_set(text: str) -> int:
    """To which of TRAIN, DEV and TEST a digit string belongs, by its checksum.

    Digit strings repeat by chance.  Parts that speak only the strings of their
    own set share no sentence with another part.
    """
    return zlib.crc32(text.encode()) % 3


def digit_strings(kind: int, *names: object, min_words: int = 3, max_words: int = 6) -> Iterator[str]:
    """Endless distinct strings of `min_words` to `max_words` digit words, all of the set `kind`."""
    random = generator("digits", kind, *names)
    said: set[str] = set()
    while True:
        length = int(random.integers(min_words, max_words + 1))
        text = " ".join(DIGITS[digit] for digit in random.integers(0, 10, size=length))
        if sentence_set(text) == kind and text not in said:
            said.add(text)
            yield text
