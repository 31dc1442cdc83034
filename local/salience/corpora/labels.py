"""What corpora write: lines of text, tables with named columns, and tables from their words to the labels we use."""

import csv
from collections.abc import Iterator, Sequence
from os.path import isfile
from pathlib import Path

from salience.data.tables import split_row
from salience.errors import InputError

ABSENT = "unpack the corpus again, or correct the path"


def text_lines(path: Path, absent: str = ABSENT, errors: str = "strict") -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of a UTF-8 file; other bytes are an InputError naming the line.

    `absent` is the remedy for a file that is not there.  With `errors`
    "surrogateescape", other bytes stay what they are, as in names of files.
    """
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


def fields_of(path: Path, commas: bool = False, absent: str = ABSENT) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the last line, fields) of each row: separated by tabs, never quoted, or by `commas` as csv."""
    if not commas:
        yield from ((number, line.split("\t")) for number, line in text_lines(path, absent))
        return
    reader = csv.reader((f"{line}\n" for _, line in text_lines(path, absent)), strict=True)
    try:
        yield from ((reader.line_num, fields) for fields in reader)
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num} is not separated by commas ({error}); unpack the corpus again"
        ) from None


def rows_of(
    path: Path, required: Sequence[str], commas: bool = False, absent: str = ABSENT
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column to field) of a table whose first line names its columns; empty rows are skipped.

    A `required` column that is missing, and a row of more or fewer fields,
    are InputErrors.
    """
    rows = fields_of(path, commas, absent)
    _, header = next(rows, (1, []))
    for name in required:
        if name not in header:
            by = "commas" if commas else "tabs"
            raise InputError(f"{path}:1 has no column {name}; the columns are {' '.join(required)}, separated by {by}")
    for number, fields in rows:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            raise InputError(f"{path}:{number} has {len(fields)} fields instead of {len(header)}; correct the line")
        yield number, dict(zip(header, fields, strict=True))


def keyed(path: Path) -> dict[str, str]:
    """Read a publisher's table of a key and the rest of the line; an empty line or a key that repeats is an error."""
    found: dict[str, str] = {}
    for number, line in text_lines(path):
        key, value = split_row(line)
        if not key or key in found:
            raise InputError(f"{path}:{number} is empty or repeats its id; unpack the corpus again")
        found[key] = value.strip()
    return found


def read_labels(path: Path) -> dict[str, str]:
    """Read a table of two columns separated by a tab; lines that start with `#` are comments.

    Keys are kept as they are written, but for white space around them.
    """
    found: dict[str, str] = {}
    for number, fields in fields_of(path):
        fields = [field.strip() for field in fields]
        if not any(fields) or fields[0].startswith("#"):
            continue
        if len(fields) != 2 or not all(fields):
            raise InputError(f"{path}:{number} is not two columns separated by a tab; correct the line")
        if found.setdefault(fields[0], fields[1]) != fields[1]:
            raise InputError(f"{path}:{number} gives {fields[0]!r} a second label; keep one line of it")
    return found
