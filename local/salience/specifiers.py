"""Where an entry of a Kaldi scp file lies: one parser for whoever reads archives or only needs to know their names."""

import re
from typing import NamedTuple

OFFSET = re.compile(r"-?[0-9]{1,99}")
RANGES = re.compile(r"\[([0-9]{0,18}):([0-9]{0,18})(?:,([0-9]{0,18}):([0-9]{0,18}))?\]")

Range = tuple[int | None, int | None]
"""First and last row or column, both included; None for the matrix's own end."""


class Specifier(NamedTuple):
    """A file, the byte in it where a matrix begins, and the part of the matrix that is meant."""

    file: str
    offset: int = 0
    rows: Range = (None, None)
    columns: Range = (None, None)


def parse_specifier(text: str) -> Specifier:
    """Parse `file` or `file:offset`, with one of Kaldi's ranges behind it or none: `[0:9]`, `[0:9,2:5]`, `[:,2:5]`.

    The file's name may hold colons and brackets: what is neither offset nor
    range belongs to it.  So a command is the name of a file that does not exist.
    """
    ranges = RANGES.fullmatch(text, max(text.rfind("["), 0))
    ends = [int(end) if end else None for end in ranges.groups()] if ranges else [None] * 4
    place = text[: ranges.start()] if ranges else text
    name, _, offset = place.rpartition(":")
    if not (name and OFFSET.fullmatch(offset)):
        name, offset = place, "0"
    return Specifier(name, int(offset), (ends[0], ends[1]), (ends[2], ends[3]))
