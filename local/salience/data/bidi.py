"""Text that goes from right to left, among text that does not, and the room that text takes.

Terminals and browsers order letters by Unicode's bidirectional algorithm
(UAX 9).  Its isolates keep a name or a sentence from reordering what stands
around it.
"""

import unicodedata

RIGHT_TO_LEFT, FIRST_STRONG, END = "\u2067", "\u2068", "\u2069"
"""Begin of an isolate that goes from right to left, or as its first letter does, and the end of both."""


def goes_right_to_left(text: str) -> bool:
    """Whether there is a letter of a script that is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)


def isolated(text: str) -> str:
    """The text so that it does not change the order of what stands around it; other text as it is."""
    return f"{FIRST_STRONG}{text}{END}" if goes_right_to_left(text) else text


def width(text: str) -> int:
    """Columns that a text takes on a terminal: none for combining and invisible marks, two for wide letters."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
