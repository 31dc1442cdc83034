"""What corpora write: lines of text, and tables from their words to the labels we use."""

from collections.abc import Iterator
from os.path import isfile
from pathlib import Path

from salience.errors import InputError


def text_lines(
    path: Path, absent: str = "unpack the corpus again, or correct the path", errors: str = "strict"
) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of a UTF-8 file; other bytes are an InputError naming the line.

    `absent` is the remedy for a file that is not there.  With `errors`
    "surrogateescape", other bytes stay what they are, as in names of files.
    """
    path = Path(path)
    if not isfile(path):
        raise InputError(f"{path} is missing; {absent}")
    with open(path, "rb") as handle:
        for number, raw in enumerate(handle, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}:{number} is not UTF-8 (byte {error.start + 1}); convert the file, for instance with iconv"
                ) from None
            yield number, line.rstrip("\r\n")


def read_labels(path: Path) -> dict[str, str]:
    """Read a table of two columns parted by a tab; lines that start with `#` are comments.

    Keys are kept as they are written, but for white space around them.
    """
    found: dict[str, str] = {}
    for number, line in text_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise InputError(f"{path}:{number} is not two columns parted by a tab; correct the line")
        if found.setdefault(fields[0], fields[1]) != fields[1]:
            raise InputError(f"{path}:{number} gives {fields[0]!r} a second label; keep one line of it")
    return found
