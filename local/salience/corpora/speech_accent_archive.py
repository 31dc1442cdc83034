"""Speech Accent Archive: one passage of 69 words, read in English by people of many first languages.

From https://accent.gmu.edu (Weinberger, George Mason University; CC BY-NC-SA 2.0).

On disk in either of two layouts, which name the same speakers: `arabic_001` of one is `arabic1` of the other.

- `<root>/recordings/<language>/<language>_<nnn>.wav` and the passage in `<root>/transcript.txt`;
- `<root>/recordings/<language><n>.mp3`, also in folders below, the passage in `<root>/reading-passage.txt`, and
  `<root>/speakers_all.csv`.  Some of its rows, with TRUE in the column `file_missing?`, have no recording, and
  repeat their file names.
"""

import re
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from more_itertools import map_reduce

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import rows_of, text_lines
from salience.corpora.sets import PARTS, Sets
from salience.corpora.splits import split_speakers
from salience.data.records import Utterance
from salience.data.text import clean
from salience.errors import InputError
from salience.files import files_below
from salience.randomness import generator

PASSAGES = ("transcript.txt", "reading-passage.txt")
SPEAKERS = "speakers_all.csv"
COLUMNS = ("filename", "native_language", "sex", "file_missing?")
NAME = re.compile(r"(.*[^0-9_])_?0*([1-9][0-9]*)")
"""A recording's name without its ending: first language and number."""
ENDINGS = (".wav", ".mp3")
GENDERS = {"male": "m", "female": "f"}


def find_root(folder: Path) -> Path:
    """The folder with `recordings` and the passage: `folder` or one in it."""

    def is_root(path: Path) -> bool:
        return (path / "recordings").is_dir() and any((path / name).is_file() for name in PASSAGES)

    missing = f"recordings/ beside {' or '.join(PASSAGES)}; {download.give('speech-accent-archive')}"
    return download.root_in(folder, is_root, missing)


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive` into `target`/speech_accent_archive; returns the corpus root."""
    refusal = (
        "the Speech Accent Archive (https://accent.gmu.edu) is not offered as one download; "
        f"{download.give('speech-accent-archive')}"
    )
    folder = target / "speech_accent_archive"
    return download.fetch(refusal, folder, archive, "speech-accent-archive", find_root)


def passage(root: Path) -> str:
    """What everybody reads, in one line."""
    path = next((root / name for name in PASSAGES if (root / name).is_file()), root / PASSAGES[0])
    text = clean(" ".join(line for _, line in text_lines(path)))
    if not text:
        raise InputError(f"{path} is empty; it must hold the passage that the speakers read")
    return text


def utterances(root: Path, excluded: Counter[str] | None = None, bad: BadClips | None = None) -> Iterator[Utterance]:
    """One utterance a speaker, sorted by id; `accent` is the first language.

    The speaker is `<language><nnn>`, the id `<speaker>-passage`, in both
    layouts.  Rows of the table without a recording are counted in `excluded`.
    A recording that no row names, and an unreadable one, are left to `bad`;
    without it, the second is an InputError.
    """
    root, bad = find_root(root), bad or BadClips()
    excluded = Counter() if excluded is None else excluded
    text = passage(root)
    files = {file.stem: file for file in files_below(root / "recordings") if file.suffix.lower() in ENDINGS}
    table = root / SPEAKERS
    if table.is_file():
        people = _people(table, excluded)
        excluded[f"recordings of the Speech Accent Archive that {SPEAKERS} does not name"] += len(files.keys() - people)
    else:
        people = {stem: (file.parent.name, None) for stem, file in files.items()}
    found: dict[str, Utterance] = {}
    for stem, (language, gender) in people.items():
        file = files.get(stem, root / "recordings" / f"{stem}.mp3")
        if not (parts := NAME.fullmatch(stem)):
            raise InputError(f"{file} is not named <language><number>{file.suffix}; rename or remove it")
        speaker = f"{parts[1]}{int(parts[2]):03d}"
        if speaker in found:
            raise InputError(f"{found[speaker].audio} and {file} are the same speaker; remove one of them")
        found[speaker] = Utterance.file(
            f"{speaker}-passage", speaker, file, text, accent=language, gender=gender, language="en"
        )
    if not found:
        raise InputError(f"{root / 'recordings'} holds no recording ({' '.join(ENDINGS)}); unpack the corpus again")
    yield from bad.usable(found[speaker] for speaker in sorted(found, key=str.encode))


def _people(table: Path, excluded: Counter[str]) -> dict[str, tuple[str, str | None]]:
    """Name of a recording to first language and gender, of the rows that have one."""
    found: dict[str, tuple[str, str | None]] = {}
    for number, row in rows_of(table, COLUMNS, commas=True):
        name, missing = row["filename"].strip(), row["file_missing?"].strip().upper()
        if missing not in ("TRUE", "FALSE"):
            raise InputError(f"{table}:{number} has {missing!r} for file_missing?, not TRUE or FALSE; correct the line")
        if missing == "TRUE":
            excluded[f"rows of {SPEAKERS} whose recording is missing"] += 1
            continue
        if name in found:
            raise InputError(f"{table}:{number} names {name} a second time; remove one of the lines")
        found[name] = row["native_language"].strip(), GENDERS.get(row["sex"].strip())
    return found


def add_sets(
    sets: Sets, root: Path, native: str, unseen: list[str], min_speakers: int, max_speakers: int, seed: int
) -> None:
    """Add cls_train, cls_dev, cls_test, saa_native, saa_seen and saa_unseen, no speaker in two kinds of them.

    Classes are `native` and all first languages of at least `min_speakers` but
    `unseen`, each with at most `max_speakers`, drawn by name; cls_test is
    saa_native and saa_seen.  Who is in which set depends on the names in the
    corpus and the seed, not on lengths, so both layouts agree.
    """
    found = list(utterances(root, sets.excluded, sets.bad))
    people = map_reduce(found, lambda utterance: utterance.accent or "", attrgetter("speaker"))
    if absent := [language for language in (native, *unseen) if language not in people]:
        sets.notes.append(f"Speech Accent Archive: nobody here has the first language {' or '.join(absent)}")
    classes = [name for name in sorted(people) if len(people[name]) >= min_speakers and name not in unseen]
    accents = {}
    for language in classes:
        drawn = sorted(people[language], key=lambda speaker: generator(seed, "drawn", speaker).random())[:max_speakers]
        accents |= dict.fromkeys(drawn, language)
        sets.excluded[f"speakers of {language} in the Speech Accent Archive beyond {max_speakers}"] += len(
            people[language]
        ) - len(drawn)
    chosen = split_speakers(accents, {}, seed, dev=0.15, test=0.25)
    for part in PARTS:
        sets.found[f"cls_{part}"] = [u for u in found if chosen.get(u.speaker) == part]
    sets.found["saa_native"] = [u for u in sets.found["cls_test"] if u.accent == native]
    sets.found["saa_seen"] = [u for u in sets.found["cls_test"] if u.accent != native]
    sets.found["saa_unseen"] = [u for u in found if u.accent in unseen]
    rest = sum(len(people[name]) for name in people if name not in classes and name not in unseen)
    sets.excluded[f"speakers of first languages with fewer than {min_speakers} in the Speech Accent Archive"] += rest
