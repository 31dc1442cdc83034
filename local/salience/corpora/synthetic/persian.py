"""What the synthetic Persian corpora share: digit words in Persian script, and the voices that read them.

A small recogniser learns ten words from minutes of speech; it would learn
nothing from as few minutes of any Persian.
"""

from collections.abc import Iterator

from salience.corpora.digits import DIGITS, digit_strings
from salience.corpora.synthetic.voices import AccentVoice

WORDS = ("صفر", "یک", "دو", "سه", "چهار", "پنج", "شش", "هفت", "هشت", "نه")
"""The digits from zero to nine."""

_OF_ENGLISH = dict(zip(DIGITS, WORDS, strict=True))


def _respelled(words: str) -> dict[str, str]:
    return dict(zip(WORDS, words.split(), strict=True))


# Without its vowel sign, the word for nine is read as the word for no.
_NINE = {WORDS[9]: "نُه"}
_LATIN = _respelled("sefr yek do se chahar panj shesh haft hasht noh")
_TURKISH = _respelled("sefr yek do se çahar pânj şeş haft haşt noh")
_HINDI = _respelled("सिफ़र येक दो से चहार पंज शेश हफ़्त हश्त नोह")

STANDARD = (AccentVoice("fa", "Persian", _NINE), AccentVoice("fa-latn", "Persian written in Latin letters", _LATIN))
SEEN = {
    "Shomali": AccentVoice("tr", "Turkish voice reading Persian respelled: a stand-in", _TURKISH),
    "Jonubi": AccentVoice("hi", "Hindi voice reading Persian respelled by ear: a stand-in", _HINDI),
    "Kurdish": AccentVoice("ku", "Kurdish voice reading Persian respelled", _TURKISH),
}
UNSEEN = {
    "Tajiki": AccentVoice("uz", "Uzbek voice reading Persian respelled: a stand-in", _LATIN),
    "Balochi": AccentVoice("sd", "Sindhi voice reading Persian: a stand-in"),
}
"""In the test set alone, as in the paper."""


def sentences(kind: int, *names: object, shortest: int = 3, longest: int = 6) -> Iterator[str]:
    """Endless distinct strings of `shortest` to `longest` Persian digit words, all of the set `kind`.

    As `digits.digit_strings`, so that TRAIN, DEV and TEST share no sentence.
    """
    for text in digit_strings(kind, "persian", *names, shortest=shortest, longest=longest):
        yield " ".join(_OF_ENGLISH[word] for word in text.split())
