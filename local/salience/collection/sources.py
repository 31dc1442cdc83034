"""Which recordings to collect from: a folder an accent, or a list."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from more_itertools import map_reduce

from salience.corpora.download import checksum
from salience.corpora.labels import text_lines
from salience.errors import InputError
from salience.files import files_below, shown

logger = logging.getLogger(__name__)

ENDINGS = {
    ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi", ".caf", ".f4v",
    ".flac", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg",
    ".mpga", ".mts", ".oga", ".ogg", ".ogv", ".opus", ".ra", ".rm", ".sph", ".spx", ".ts", ".tta", ".vob", ".w64",
    ".wav", ".weba", ".webm", ".wma", ".wmv", ".wv",
}  # fmt: skip
"""What is taken for a recording in a folder; a list may name files of any ending."""

BEGINNING = 1 << 20
"""Bytes by which files of one size are compared before they are read as a whole."""


LONGEST_NAME = 255 - len("_s001-00001.wav")
"""Bytes of a speaker and a key: what is made of them is the name of a clip, and of a folder."""


@dataclass(frozen=True)
class Source:
    """A recording: `key` names it in all tables; `speaker` only where one person speaks throughout."""

    key: str
    path: Path
    accent: str
    speaker: str | None = None


@dataclass(frozen=True)
class Rejected:
    """What is left out: a recording, or its seconds from `start` to `end`; `reason` is a word, then a sentence."""

    recording: str
    accent: str
    reason: str
    sentence: str
    start: float | None = None
    end: float | None = None


class _Named(NamedTuple):
    """A file as a folder or a list names it; `place` is the line of the list, or the file."""

    path: Path
    accent: str
    speaker: str | None
    place: str


def find(root: Path | None, table: Path | None) -> tuple[list[Source], list[Rejected]]:
    """The recordings of a table, whose paths then count from `root`, or of the folder `root`."""
    if table:
        return from_list(table, root)
    if root:
        return from_folder(root)
    raise InputError("there are no recordings; give --root, --table or both")


def from_folder(root: Path) -> tuple[list[Source], list[Rejected]]:
    """The recordings in `root`/<accent>/, at any depth, sorted by key; links are followed, hidden files ignored.

    A folder without any is an InputError.  Rejected are recordings beside the
    accents' folders, those of one key (`a.mp3` beside `a.wav`) all, and what
    stands in two places.
    """
    found, others = [], Counter[str]()
    for path in files_below(root):
        # What lies deeper than a path can be long may be recordings as well.
        if path.suffix.lower() in ENDINGS or not os.path.lexists(path):
            found.append(path)
        else:
            others[path.suffix.lower() or "none"] += 1
    if others:
        said = ", ".join(f"{ending} {count}" for ending, count in others.most_common(10))
        logger.info("%s: %d files are no recordings by their ending (%s)", root, others.total(), said)
    inside = [path for path in found if path.parent != root]
    if not inside:
        raise InputError(
            f"{root} holds no <accent>/<recording>; put the recordings in a folder an accent, or give --recordings-list"
        )
    loose = [
        Rejected(key_of(path, root), "", "list", f"{path} lies in no accent's folder; move it into one")
        for path in found
        if path.parent == root
    ]
    return _checked([_Named(path, path.relative_to(root).parts[0], None, str(path)) for path in inside], root, loose)


def _real(path: Path) -> Path:
    """`path` without links; unlike `Path.resolve`, it takes links that go in a circle for files that are missing."""
    return Path(os.path.realpath(path))


def from_list(table: Path, root: Path | None = None) -> tuple[list[Source], list[Rejected]]:
    """The recordings of a table of two or three columns separated by tabs: path, accent, and the only speaker if known.

    Paths count from `root`, or from the table's folder.  Lines that start with
    `#` are comments.  Speakers whose names are the same but for blanks and
    signs are one (see `plain`).  A line with a column missing, and a file with
    two accents, are rejected; the rest is kept.
    """
    base = root or table.parent
    rows = []
    rejected = []
    for number, line in text_lines(table, "correct the path, or write the list of recordings there", "surrogateescape"):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) not in (2, 3) or not all(fields[:2]):
            fault = f"{table}:{number} is not a path, an accent and perhaps a speaker, separated by tabs; fix the line"
            rejected.append(Rejected(shown(fields[0] or "?"), "", "list", fault))
            continue
        speaker = plain(fields[2]) if len(fields) == 3 and fields[2] else None
        rows.append(_Named(base / fields[0], fields[1], speaker, f"{table}:{number}"))
    if not rows and not rejected:
        raise InputError(f"{table} lists no recording; write a path and an accent a line, separated by a tab")
    return _checked(rows, base, rejected)


def _checked(rows: Sequence[_Named], base: Path, rejected: list[Rejected]) -> tuple[list[Source], list[Rejected]]:
    """Sources of `rows`, without those that contradict each other; of copies, the first."""
    by_name: dict[str, list[Source]] = {}
    for row in rows:
        if fault := _fault(row, base):
            sentence = f"{shown(row.place)}: {fault}"
            rejected.append(Rejected(shown(key_of(row.path, base)), shown(row.accent), "name", sentence))
    for said in _by_file([row for row in rows if not _fault(row, base)]):
        path, key = said[0].path, key_of(said[0].path, base)
        accents = list(dict.fromkeys(one.accent for one in said))
        if len(accents) > 1:
            places = ", ".join(one.place for one in said)
            sentence = f"{path} has the accents {' and '.join(accents)} ({places}); keep one of them"
            rejected.append(Rejected(key, "", "two accents", sentence))
            continue
        for other in dict.fromkeys(one.path for one in said if one.path != path):
            sentence = f"{other} is the same recording as {path}; keep one of them"
            rejected.append(Rejected(key_of(other, base), accents[0], "list", sentence))
        speakers = {one.speaker for one in said}
        source = Source(key, path, accents[0], said[0].speaker if len(speakers) == 1 else None)
        by_name.setdefault(plain(key), []).append(source)
    for name, own in by_name.items():
        if len(own) > 1:
            names = " and ".join(str(source.path) for source in own)
            sentence = f"{names} would both be called {name}; rename one of them"
            rejected.append(Rejected(own[0].key, own[0].accent, "list", sentence))
    sources = [own[0] for own in by_name.values() if len(own) == 1]
    return sorted(sources, key=lambda source: source.key.encode()), sorted(rejected, key=lambda r: r.recording)


def _fault(row: _Named, base: Path) -> str | None:
    """Why what a row names cannot stand in tables and names of files, with the remedy."""
    words = [os.fsencode(word) for word in (f"{row.speaker or ''}-{key_of(row.path, base)}", row.accent)]
    try:
        b"".join([*words, os.fsencode(row.path)]).decode()
    except UnicodeDecodeError:
        return "the name is not UTF-8; rename it"
    if max(map(len, words)) > LONGEST_NAME:
        return (
            f"the names of its clips would be longer than files may have; shorten the path {row.path} or its accent "
            f"to {LONGEST_NAME} bytes"
        )
    return None


def _by_file(rows: Sequence[_Named]) -> list[list[_Named]]:
    """Group the rows that name the same file, by other paths and links or as a copy, in the order of the first."""
    real = {path: _real(path) for path in {row.path for row in rows}}
    first_of = {path: path for path in real.values()}
    for group in copies(sorted(path for path in first_of if os.path.isfile(path))):
        first_of |= dict.fromkeys(group, group[0])
    return list(map_reduce(rows, lambda row: first_of[real[row.path]]).values())


def copies(paths: Collection[Path]) -> list[list[Path]]:
    """Files of the same content, in groups; empty ones are like no other.

    Only those of one size are looked into, and only those that begin alike
    are read as a whole.
    """
    looks: tuple[Callable[[Path], Hashable], ...] = (_size, _beginning, partial(checksum, algorithm="sha256"))
    groups = [[path for path in paths if _size(path)]]
    for look in looks:
        groups = [alike for group in groups for alike in map_reduce(group, look).values() if len(alike) > 1]
    return groups


def _size(path: Path) -> int:
    return path.stat().st_size


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(BEGINNING)


def key_of(path: Path, base: Path) -> str:
    """The name of a recording in all tables: its path from `base` without ending, joined by dashes, blanks as `_`."""
    inside = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
    parts = [part for part in inside.with_suffix("").parts if part not in ("..", "/", ".")]
    return "_".join("-".join(parts).split())


def plain(name: str) -> str:
    """A name as part of an id: letters, figures and dots of any script, all else `_`.

    Ids are speaker, dash, rest, and Kaldi wants them sorted by speaker as
    well.  With a dash in them, one name could be another's beginning.
    """
    return re.sub(r"[^\w.]", "_", "_".join(name.split()))
