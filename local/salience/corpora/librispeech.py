"""LibriSpeech: read English from audiobooks, https://www.openslr.org/12 (CC BY 4.0).

On disk: `<root>/SPEAKERS.TXT` and
`<root>/<part>/<reader>/<chapter>/<reader>-<chapter>-<nnnn>.flac` with
`<reader>-<chapter>.trans.txt`.  The speaker is the reader.  (Kaldi's recipe
makes each chapter of a reader a speaker of its own; then a split by speaker
would not keep people apart, which every claim here rests on.)
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import text_lines
from salience.data.records import Utterance
from salience.data.tables import split_row
from salience.errors import InputError
from salience.files import visible

PARTS = {
    part: download.release(part)
    for part in (
        "dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500",
    )
}  # fmt: skip
"""The corpus' parts and where each is published."""

DEFAULT_PARTS = ("train-clean-100", "dev-clean", "test-clean")


def find_root(folder: Path) -> Path:
    """The folder that holds the parts: `folder` or one in it."""
    missing = f"part of LibriSpeech ({', '.join(PARTS)}); {download.give('librispeech')}"
    return download.root_in(folder, parts_in, missing)


def parts_in(root: Path) -> list[str]:
    """The parts that `root` has, in the corpus' order."""
    return [part for part in PARTS if (root / part).is_dir()]


def fetch(target: Path, archive: Path | None = None, parts: Sequence[str] = DEFAULT_PARTS) -> Path:
    """Unpack or download `parts` below `target`; returns the corpus root.

    `archive` is the user's own `<part>.tar.gz`, or a folder with several; the
    parts it does not have are left out.  A part that is there already is kept.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"LibriSpeech has no part {unknown[0]}; choose from {', '.join(PARTS)}")
    root = target / "LibriSpeech"
    if archive is not None:
        files = visible(Path(archive).glob("*.tar*")) if Path(archive).is_dir() else [Path(archive)]
        if not files:
            raise InputError(
                f"{archive} holds no archive of LibriSpeech; give <part>.tar.gz with --librispeech-archive"
            )
        for file in files:
            part = PARTS.get(file.name.split(".tar")[0])
            if part is not None:
                download.check_own(file, part)
            _unpack(file, target, root)
        return find_root(target)
    for part in parts:
        if not (root / part).is_dir():
            file = download.download(PARTS[part], target, "--librispeech-root or --librispeech-archive")
            _unpack(file, target, root)
            file.unlink()
    return find_root(target)


def _unpack(file: Path, target: Path, root: Path) -> None:
    with download.temporary_folder(target / f".{file.name}.tmp") as folder:
        download.unpack(file, folder)
        found = find_root(folder)
        root.mkdir(parents=True, exist_ok=True)
        # The text files first: a part that is in place is taken to be complete.
        for item in sorted(visible(found.iterdir()), key=lambda item: (item.is_dir(), item.name)):
            if not (root / item.name).exists():
                os.replace(item, root / item.name)


def genders(root: Path) -> dict[str, str]:
    """Reader to `m` or `f`, from SPEAKERS.TXT; empty if the root has no such file.

    Columns are separated by `|`; the last, the name, may contain that sign too.
    """
    path = root / "SPEAKERS.TXT"
    found: dict[str, str] = {}
    if not path.exists():
        return found
    for number, line in text_lines(path):
        if not line.strip() or line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", maxsplit=4)]
        if len(fields) < 4 or fields[1] not in ("F", "M"):
            raise InputError(
                f"{path}:{number} is not `reader | F or M | part | minutes | name`; unpack the corpus again"
            )
        found[fields[0]] = fields[1].lower()
    return found


def utterances(root: Path, parts: Sequence[str] | None = None, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The utterances of `parts` (default: all that are there), part by part, sorted by id.

    Text is upper case as published.  `split` is the part.  A transcript
    without words is an InputError.  Bad audio is left to `bad`; without it,
    that is an InputError, too.
    """
    root, bad = find_root(root), bad or BadClips()
    gender = genders(root)
    for part in parts_in(root) if parts is None else parts:
        folder = root / part
        if not folder.is_dir():
            raise InputError(
                f"{root} has no part {part}, only {', '.join(parts_in(root))}; download it, or ask for others"
            )
        found = [
            u for transcript in visible(folder.glob("*/*/*.trans.txt")) for u in _chapter(transcript, part, gender)
        ]
        if not found:
            raise InputError(f"{folder} holds no */*/*.trans.txt; unpack {part}.tar.gz again")
        yield from bad.usable(sorted(found, key=lambda utterance: utterance.id.encode()))


def _chapter(transcript: Path, part: str, gender: dict[str, str]) -> Iterator[Utterance]:
    for number, line in text_lines(transcript):
        key, text = split_row(line)
        if not key:
            raise InputError(f"{transcript}:{number} is empty; remove the line, or unpack the corpus again")
        if key.count("-") != 2:
            raise InputError(
                f"{transcript}:{number}: {key} is not an id <reader>-<chapter>-<number>; unpack the corpus again"
            )
        if not text.strip():
            raise InputError(f"{transcript}:{number}: {key} has an empty transcript; complete or remove the line")
        reader, audio = key.split("-")[0], transcript.parent / f"{key}.flac"
        yield Utterance.file(key, reader, audio, text.strip(), gender=gender.get(reader), split=part, language="en")
