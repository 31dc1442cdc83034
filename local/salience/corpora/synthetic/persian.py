"""What the synthetic Persian corpora share: digit words in Persian script, and the voices that read them.

A small recogniser learns ten words from minutes of speech; it would learn
nothing from as few minutes of any Persian.
"""

from collections.abc import Iterator

from salience.corpora.digits import DIGITS, digit_strings
from salience.corpora.synthetic.voices import accents

WORDS = ("صفر", "یک", "دو", "سه", "چهار", "پنج", "شش", "هفت", "هشت", "نه")
"""The digits from zero to nine."""

_OF_ENGLISH = dict(zip(DIGITS, WORDS, strict=True))


STANDARD = tuple(accents("persian_standard").values())
SEEN, UNSEEN = accents("persian_seen"), accents("persian_unseen")
"""UNSEEN are in the test set alone, as in the paper."""


def sentences(kind: int, *names: object, min_words: int = 3, max_words: int = 6) -> Iterator[str]:
    """Endless distinct strings of `min_words` to `max_words` Persian digit words, all of the set `kind`.

    As `digits.digit_strings`, so that TRAIN, DEV and TEST share no sentence.
    """
    for text in digit_strings(kind, "persian", *names, min_words=min_words, max_words=max_words):
        yield " ".join(_OF_ENGLISH[word] for word in text.split())
