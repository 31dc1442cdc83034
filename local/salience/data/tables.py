"""Kaldi's sorted text tables: one reader for programs, tools and validation.

A line is a key, any run of spaces and tabs, and the rest without spaces and
tabs around it.  Carriage returns, vertical tabs and other such controls are
faults, as is U+FEFF: Kaldi, a shell and Python would each split or compare
such lines in a way of its own.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from salience.errors import RERUN, InputError, stale
from salience.files import whole_file

BLOCK = 1 << 18
"""Bytes that are read, and checked for faults, at a time."""

LINES = 1000
"""Lines that are written, and checked for faults, at a time."""

MARK = "\ufeff"
"""The byte order mark with which some editors begin a file."""

_MARK = MARK.encode()
_CONTROLS = b"\r\v\f\x1c\x1d\x1e\x1f"
"""What Kaldi or Python take for white space, besides spaces, tabs and the ends of lines."""
_WRONG = frozenset(_CONTROLS.decode() + MARK)
_AS_SPACES = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
_UNICODE_SPACE = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_RARE = frozenset(b" \t\n/.")
"""How a line starts that may be empty, begin with white space, or have an id that leads out of a folder."""

_UP_IN_KEY = re.compile(rb"^[^ \t\n]*/\.\.", re.MULTILINE)

_NAMES = {"\t": "TAB", "\r": "CARRIAGE RETURN", "\v": "VERTICAL TAB", "\f": "FORM FEED"}


class Fault(NamedTuple):
    """What a table must not hold."""

    of_file: str
    """Said of a file, before the numbers of its lines."""
    of_line: str
    """Said of one line."""
    remedy: str
    mended: bool = False
    """Whether reading without the fault changes nothing that anybody meant."""


_FIX = "run utils/fix_data_dir.sh on its folder"

CUT_OFF = Fault(
    "does not end with a newline", "has no final newline; the file may be truncated",
    f"end the line if nothing is missing, or {RERUN}", True,
)  # fmt: skip
EMPTY = Fault("has empty lines", "is empty", "remove the line, or run utils/fix_data_dir.sh", True)
LEADING_BLANK = Fault(
    "has lines that begin with white space (utils/fix_data_dir.sh removes it)", "begins with white space", _FIX, True
)
LEADS_OUT = Fault(
    "has ids that lead out of a folder", "has an id that leads out of a folder",
    "rename it, because ids become file names: none begins with / or has .. between slashes",
)  # fmt: skip
NO_SPEAKER = Fault(
    "has lines that are not an utterance and a speaker", "is not an utterance and a speaker", "correct it"
)

Tell = Callable[[Path, int, Fault, bytes], None]
"""What is called with file, line number, fault and key for each fault of a table."""


def refuse(path: Path, number: int, fault: Fault, key: bytes) -> None:
    """Raise an InputError with the fault: for those who cannot read on."""
    raise InputError(f"{path}:{number} {fault.of_line}; {fault.remedy}", path if fault is CUT_OFF else None)


def mend(path: Path, number: int, fault: Fault, key: bytes) -> None:
    """Raise an InputError only for a fault that cannot be mended by reading over it."""
    if not fault.mended:
        refuse(path, number, fault, key)


def ignore(path: Path, number: int, fault: Fault, key: bytes) -> None:
    """Read over every fault: for lists whose lines are passed on as they are."""


def iterate_table(path: Path, tell: Tell = refuse) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, key, value) of a table; a key without a value has an empty one.

    Each fault goes to `tell` before its line is yielded as it would be without
    it: U+FEFF left out, carriage returns and the like as spaces, empty lines passed
    over.  By default it is an InputError that names file, line and remedy.  A
    line that is not UTF-8 is not yielded.  Raises InputError for a file that
    cannot be read.
    """
    for first, lines in _blocks(path):
        if _are_clean(lines, block := b"".join(lines)):
            # Only spaces, tabs and newlines are left of what str.split takes for white space.
            for number, text in enumerate(block.decode().split("\n"), first):
                fields = text.split(None, 1)
                if fields:
                    yield number, fields[0], fields[1].rstrip() if len(fields) > 1 else ""
            continue
        for number, line in enumerate(lines, first):
            fields_of_bytes = _told(path, number, line, tell).split(None, 1)
            with suppress(UnicodeDecodeError):
                key, value = (field.decode() for field in (*fields_of_bytes, b"", b"")[:2])
                if key:
                    yield number, key, value.rstrip(" \t\n")


def iterate_rows(path: Path, tell: Tell = refuse) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of a table as bytes, which is quicker where nothing is done with them but sorting.

    As `iterate_table`, but for lines that are not UTF-8, which are yielded if
    `tell` lets them.
    """
    for first, lines in _blocks(path):
        clean = _are_clean(lines, b"".join(lines))
        for number, line in enumerate(lines, first):
            fields = (line if clean else _told(path, number, line, tell)).split(None, 1)
            if fields:
                yield fields[0], fields[1].rstrip() if len(fields) > 1 else b""


def read_table(path: Path) -> dict[str, str]:
    """Read a table in its order; a key that appears twice is an InputError."""
    table: dict[str, str] = {}
    for number, key, value in iterate_table(path):
        if key in table:
            raise InputError(f"{path}:{number} repeats the key {key}; run utils/fix_data_dir.sh")
        table[key] = value
    return table


def read_speakers(path: Path) -> dict[str, str]:
    """Read `utt2spk`, the speaker of each utterance; a line of more or fewer fields than two is an InputError."""
    speakers = read_table(path)
    for speaker, key in {speaker: key for key, speaker in speakers.items()}.items():
        check_speaker(path, key.encode(), speaker.encode())
    return speakers


def check_speaker(path: Path, key: bytes, speaker: bytes) -> None:
    """Raise an InputError if the value of an utterance in `utt2spk` is no id."""
    if fault := id_fault(speaker):
        line = (key + b" " + speaker).decode("utf-8", "replace")
        raise InputError(f"{path}: the line '{line}' {fault.of_line}; {fault.remedy}")


def id_fault(key: bytes) -> Fault | None:
    """Why this cannot be an id of a speaker; None if it can."""
    return next(faults(key + b"\n"), None) if key.split() == [key] else NO_SPEAKER


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write a table sorted by key as LC_ALL=C sorts, whole or not at all.

    What `read_table` would refuse or read otherwise, such as a key with white
    space in it or a value of several lines, is an InputError.
    """
    # Code points and UTF-8 sort alike.
    keys = iter(sorted(table))
    with whole_file(path, "wb") as handle:
        while some := list(islice(keys, LINES)):
            rows = [f"{key} {value}\n" if (value := table[key]) != "" else f"{key}\n" for key in some]
            # A path that is not UTF-8 has surrogates in it.
            lines = [row.encode("utf-8", "surrogateescape") for row in rows]
            block = b"".join(lines)
            many = block.count(b"\n") != len(some) or any(key.split() != [key] for key in some)
            if many or not _are_clean(lines, block):
                for key, line in zip(some, lines, strict=True):
                    _check_written(path, key, line)
            handle.write(block)


def _check_written(path: Path, key: str, line: bytes) -> None:
    fault = next(faults(line), None)
    if fault is None and key.split() == [key] and line.count(b"\n") == 1:
        return
    why = f"the line {fault.of_line}" if fault else "an id has no white space and its text is one line"
    shown = line.decode("utf-8", "replace").rstrip("\n")[:200]
    raise InputError(f"{path} cannot hold {shown!r}: {why}; correct the corpus' lists")


def mended(line: bytes) -> bytes:
    """A line as it is read: without U+FEFF, and with a space for each carriage return and the like."""
    return line.replace(_MARK, b"").translate(_AS_SPACES)


def faults(line: bytes) -> Iterator[Fault]:
    """All faults of one line of a table."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        of_line = f"is not UTF-8 (byte {error.start + 1})"
        yield Fault("is not UTF-8 (iconv converts it)", of_line, "convert the file, for instance with iconv")
        return
    for character in dict.fromkeys(text):
        if character in _WRONG:
            of_line = f"has the character {character_name(character)} in it"
            yield Fault(of_line, of_line, _FIX, True)
    if not text.endswith("\n"):
        yield CUT_OFF
    key = mended(line).split(None, 1)[:1]
    if not key:
        yield EMPTY
        return
    if text[0] in " \t":
        yield LEADING_BLANK
    if key[0].startswith(b"/") or b".." in key[0].split(b"/"):
        yield LEADS_OUT
    for space in _UNICODE_SPACE.findall(key[0].decode()):
        of_line = f"has the character {character_name(space)} in an id"
        yield Fault(of_line, of_line, "rename it")


def split_row(line: str) -> tuple[str, str]:
    """Key and value of a line, as in a table, for tables that publishers write and that are no data directory's."""
    key, *value = re.split("[ \t]+", line.strip(" \t"), maxsplit=1)
    return key, "".join(value)


def character_name(character: str) -> str:
    """Code point and name of a character, for messages."""
    return f"U+{ord(character):04X} {_NAMES.get(character) or unicodedata.name(character, '(control character)')}"


def number(text: str) -> float | None:
    """A finite number, or None where the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a file in blocks, each with the number of its first."""
    try:
        handle = open(path, "rb")
    except FileNotFoundError:
        raise stale(path, "does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); remove it and {RERUN}", path) from None
    first = 1
    with handle:
        while lines := handle.readlines(BLOCK):
            yield first, lines
            first += len(lines)


def _are_clean(lines: list[bytes], block: bytes) -> bool:
    """Whether lines, and the block that they are together, surely have no fault; where not, each is looked at."""
    if len(block.translate(None, _CONTROLS)) != len(block) or not block.endswith(b"\n"):
        return False
    if not _RARE.isdisjoint(map(itemgetter(0), lines)):
        return False
    # A path may lead anywhere, but no id.
    if b"/.." in block and _UP_IN_KEY.search(block):
        return False
    if block.isascii():
        return True
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return False
    return MARK not in text and _UNICODE_SPACE.search(text) is None


def _told(path: Path, number: int, line: bytes, tell: Tell) -> bytes:
    line_mended = mended(line)
    key = (line_mended.split(None, 1)[:1] or [b""])[0]
    for fault in faults(line):
        tell(path, number, fault, key)
    return line_mended
