"""Which recordings to collect from: a folder an accent, or a list."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from salience.corpora.labels import text_lines
from salience.errors import InputError

ENDINGS = {
    ".aac", ".aif", ".aiff", ".au", ".avi", ".flac", ".flv", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3",
    ".mp4", ".mpg", ".mpeg", ".oga", ".ogg", ".opus", ".sph", ".ts", ".wav", ".webm", ".wma", ".wmv",
}  # fmt: skip
"""What is taken for a recording in a folder; a list may name files of any ending."""


@dataclass(frozen=True)
class Source:
    """A recording: `key` names it in all tables; `speaker` only where one person speaks throughout."""

    key: str
    path: Path
    accent: str
    speaker: str | None = None


@dataclass(frozen=True)
class Rejected:
    """What is left out: a whole recording, or the seconds from `start` to `end`; `reason` is a word, then a sentence."""

    recording: str
    accent: str
    start: float | None
    end: float | None
    reason: str
    sentence: str


def from_folder(root: Path) -> tuple[list[Source], list[Rejected]]:
    """The recordings in `root`/<accent>/, at any depth, sorted by key.

    A folder without any is an InputError.  Two of one key (`a.mp3` beside
    `a.wav`) are rejected both.
    """
    root = Path(root)
    found = sorted(
        path
        for path in (root.rglob("*") if root.is_dir() else ())
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    rows = [(path, path.relative_to(root).parts[0], None, "") for path in found if len(path.relative_to(root).parts) > 1]
    if not rows:
        raise InputError(f"{root} holds no <accent>/<recording>; put the recordings in a folder an accent, or give --recordings-list")
    return _checked(rows, root, [])


def from_list(table: Path, root: Path | None = None) -> tuple[list[Source], list[Rejected]]:
    """The recordings of a table of two or three columns parted by tabs: path, accent, and the only speaker if known.

    Paths count from `root`, or from the table's folder.  Lines that start with
    `#` are comments.  A line with a column missing, and a file with two
    accents, are rejected; the rest is kept.
    """
    table = Path(table)
    base = Path(root) if root else table.parent
    rows: list[tuple[Path, str, str | None, str]] = []
    rejected = []
    for number, line in text_lines(table):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) not in (2, 3) or not all(fields[:2]):
            rejected.append(
                Rejected(
                    fields[0] or "?", "", None, None, "list",
                    f"{table}:{number} is not a path, an accent and perhaps a speaker, parted by tabs; complete the line",
                )  # fmt: skip
            )
            continue
        rows.append((base / fields[0], fields[1], fields[2] if len(fields) == 3 and fields[2] else None, f"{table}:{number}"))
    if not rows and not rejected:
        raise InputError(f"{table} lists no recording; write a path and an accent a line, parted by a tab")
    return _checked(rows, base, rejected)


def _checked(
    rows: Iterable[tuple[Path, str, str | None, str]], base: Path, rejected: list[Rejected]
) -> tuple[list[Source], list[Rejected]]:
    """Sources of `rows` (path, accent, speaker, place in the list), without those that contradict each other."""
    by_path: dict[Path, list[tuple[str, str | None, str]]] = {}
    for path, accent, speaker, place in rows:
        by_path.setdefault(path, []).append((accent, speaker, place))
    by_key: dict[str, list[Source]] = {}
    for path, said in by_path.items():
        key = key_of(path, base)
        accents = list(dict.fromkeys(accent for accent, _, _ in said))
        if len(accents) > 1:
            rejected.append(
                Rejected(
                    key, "", None, None, "two accents",
                    f"{path} has the accents {' and '.join(accents)} ({', '.join(place for _, _, place in said)}); keep one of the lines",
                )  # fmt: skip
            )
            continue
        speakers = {speaker for _, speaker, _ in said}
        speaker = said[0][1] if len(speakers) == 1 else None
        by_key.setdefault(key, []).append(Source(key, path, accents[0], speaker and "_".join(speaker.split())))
    for key, own in by_key.items():
        if len(own) > 1:
            names = " and ".join(str(source.path) for source in own)
            rejected.append(Rejected(key, own[0].accent, None, None, "list", f"{names} would both be called {key}; rename one of them"))
    sources = [own[0] for own in by_key.values() if len(own) == 1]
    return sorted(sources, key=lambda source: source.key.encode()), sorted(rejected, key=lambda r: r.recording)


def key_of(path: Path, base: Path) -> str:
    """The name of a recording in all tables: its path from `base` without ending, joined by dashes, blanks as `_`."""
    inside = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
    parts = [part for part in inside.with_suffix("").parts if part not in ("..", "/", ".")]
    return "_".join("-".join(parts).split())
