"""Texts to the symbols of a CTC recogniser and back, as transformers' tokenizer for wav2vec 2.0 does it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from salience.data.vocabulary import BOUNDARY, PAD, UNKNOWN, read_vocabulary
from salience.files import write_lines

SILENT = ("<s>", "</s>")
"""Symbols that some vocabularies hold and no text has."""


def least_frames(symbols: Sequence[int]) -> int:
    """Frames that CTC needs to write these: one each, and one for the blank between two that are the same."""
    return len(symbols) + sum(one == other for one, other in pairwise(symbols))


class Symbols:
    """The symbols of a tokens.txt; [PAD] is the blank.

    A space becomes the word boundary before it is looked up.  What the list
    lacks becomes [UNK]: with the published vocabulary also every boundary.
    """

    def __init__(self, path: Path) -> None:
        self.numbers = read_vocabulary(path)
        self.symbols = tuple(self.numbers)
        self.blank, self.unknown = self.numbers[PAD], self.numbers[UNKNOWN]

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's symbols, single spaces between words."""
        return [self.numbers.get(c, self.unknown) for c in " ".join(text.split()).replace(" ", BOUNDARY)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of symbols without repeats; blanks fall away, unknown ones are shown as [UNK]."""
        said = (self.symbols[number] for number in numbers if number != self.blank)
        return " ".join(
            "".join(" " if symbol == BOUNDARY else symbol for symbol in said if symbol not in SILENT).split()
        )

    def write(self, path: Path) -> None:
        """Write tokens.txt."""
        write_lines(path, self.symbols)
