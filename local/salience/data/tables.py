"""Kaldi's sorted text tables: `key value` a line."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from salience.errors import InputError
from salience.files import whole_file


def iterate_table(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, key, value) of a table.

    Raises InputError, naming file and line, for bytes that are not UTF-8, for
    an empty line, and for a last line without its end.  A key without a value yields an empty value.
    """
    path = Path(path)
    try:
        handle = open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); remove it and run the stage that writes it again") from None
    with handle:
        for number, raw in enumerate(handle, 1):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}:{number} is not UTF-8 (byte {error.start + 1}); convert the file, for instance with iconv"
                ) from None
            if not line.endswith("\n"):
                raise InputError(f"{path}:{number} does not end its line: the file was cut off; run the stage that writes it again, or end the line if nothing is missing")
            key, _, value = line.rstrip("\n").partition(" ")
            if not key.strip():
                raise InputError(f"{path}:{number} is empty; remove the line, or run utils/fix_data_dir.sh")
            yield number, key, value.strip(" \t")


def read_table(path: Path) -> dict[str, str]:
    """Read a table in its order; a key that stands twice is an InputError."""
    table: dict[str, str] = {}
    for number, key, value in iterate_table(path):
        if key in table:
            raise InputError(f"{path}:{number} repeats the key {key}; run utils/fix_data_dir.sh")
        table[key] = value
    return table


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write a table sorted by key as LC_ALL=C sorts, whole or not at all.

    A key with white space in it and a value of several lines, which nobody
    could read back, are InputErrors.
    """
    with whole_file(path) as handle:
        for key in sorted(table, key=lambda k: k.encode("utf-8")):
            value = table[key]
            if len(key.split()) != 1 or key != key.strip() or "\n" in value:
                raise InputError(f"{path} cannot hold {key[:100]!r} with {value[:100]!r}: an id has no blanks and its text is one line; correct the corpus' lists")
            handle.write(f"{key} {value}\n" if value != "" else f"{key}\n")
