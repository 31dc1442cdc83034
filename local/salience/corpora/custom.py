"""A corpus of the user's own: Kaldi data directories, lhotse's manifests, or tables of columns."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from os.path import exists
from pathlib import Path

from salience.corpora import lhotse_manifests
from salience.corpora.labels import rows_of
from salience.data.directories import LONGEST, read_data_dir, unsorted
from salience.data.layout import KINDS
from salience.data.records import UNKNOWN, Utterance
from salience.data.tables import id_fault, iterate_table, number
from salience.data.text import clean
from salience.errors import InputError

COLUMNS = ("path", "text", "speaker", "accent", "id", "start", "end", "gender", "language")
"""What columns of a table are called; only the first must be there."""

OURS = ("asr_train", "asr_dev", "cls_train", "cls_dev", "cls_test", "asr_train_sp")
"""Sets that are made here, whose names no test set may have."""

TRIED = 100
"""Relative paths that are looked for before a folder is given up as the one that they count from."""


@dataclass
class Given:
    """What the user gave as one part of a corpus.

    `form` says what it is; `places` maps an audio file to the file and line that
    name it first; `files` are the tables that were read.
    """

    path: Path
    form: str
    utterances: list[Utterance]
    places: dict[Path, str]
    files: list[Path]
    notes: list[str] = field(default_factory=list)

    def told(self, what: str) -> str:
        """What preparation.txt says of it, as the `what` that it was given for."""
        accents = Counter(u.accent for u in self.utterances if u.accent)
        shown = ", ".join(f"{accent} {count}" for accent, count in sorted(accents.items())) or "none"
        speakers = len({u.speaker for u in self.utterances})
        return (
            f"{what} is {self.form}, {self.path}: {len(self.utterances)} utterances of {speakers} speakers; "
            f"accents: {shown}"
        )


def read(path: Path, caller: Path) -> Given:
    """Read a data directory, a table, or lhotse's manifests; nothing is measured yet.

    Relative paths of audio count from `caller`, the folder the user is in, or
    from where the tables are or a folder above, whichever has the files.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; correct the path, which counts from the folder that you call run.sh in"
        )
    if (path / "wav.scp").is_file():
        given = _data_dir(path)
    elif path.suffix in (".csv", ".tsv"):
        given = _table(path)
    elif path.name.endswith(lhotse_manifests.SUFFIXES) or (
        path.is_dir() and any(file.name.endswith(lhotse_manifests.SUFFIXES) for file in path.iterdir())
    ):
        given = _manifests(path)
    else:
        raise InputError(
            f"{path} is no data directory (with wav.scp, text and utt2spk), no lhotse manifest (.jsonl, .jsonl.gz)"
            " or folder of them, and no table (.csv, .tsv); correct the path"
        )
    if not given.utterances:
        raise InputError(f"{path} holds no utterance; correct the path")
    homes = [caller, *(folder for folder in (path, *path.parents) if folder.is_dir())]
    relative = [utterance.audio for utterance in given.utterances if not utterance.audio.is_absolute()]
    home = next((h for h in homes for audio in islice(relative, TRIED) if exists(h / audio)), caller)
    given.utterances = [replace(u, audio=home / u.audio) for u in given.utterances]
    given.places = {home / audio: place for audio, place in given.places.items()}
    return given


def _data_dir(folder: Path) -> Given:
    """A data directory of Kaldi; text may be missing."""
    if not (folder / "utt2spk").is_file():
        raise InputError(f"{folder / 'utt2spk'} does not exist; write it, an utterance and its speaker on each line")
    places: dict[Path, str] = {}
    for line, key, value in iterate_table(folder / "wav.scp"):
        if value.endswith("|"):
            raise InputError(
                f"{folder}/wav.scp:{line} has a command for {key}, and no command is run unasked; write its output to "
                f"files with local/run_wav_commands.py --source {folder} --target NEW --allow true, and give NEW"
            )
        places.setdefault(Path(value), f"{folder}/wav.scp:{line}")
    parts = (
        u if u.end is None or u.start is None else replace(u, duration=u.end - u.start) for u in read_data_dir(folder)
    )
    files = [folder / name for names in KINDS.values() for name in names if (folder / name).is_file()]
    return Given(folder, "a data directory", list(parts), places, files)


def _table(path: Path) -> Given:
    """A table with a line for each utterance: .csv, separated by commas, or .tsv, separated by tabs."""
    found: dict[str, Utterance] = {}
    places: dict[Path, str] = {}
    unread: set[str] = set()
    for line, row in rows_of(path, COLUMNS[:1], commas=path.suffix == ".csv", absent="correct the path"):
        where = f"{path}:{line}"
        unread |= row.keys() - {*COLUMNS}
        known = {name: clean(row.get(name, "")) for name in COLUMNS}
        if not (audio := row["path"].strip()):
            raise InputError(f"{where} has no path; name an audio file or remove the line")
        key = known["id"] or "-".join(filter(None, (known["speaker"], Path(audio).stem)))
        if key in found:
            raise InputError(f"{where} is a second utterance {key}; add a column id with a name for each, or remove it")
        places.setdefault(Path(audio), where)
        times = _times(known["start"], known["end"], where)
        found[key] = Utterance(
            key, known["speaker"] or key, Path(audio), known["text"], times[1] - times[0] if times else UNKNOWN,
            Path(audio).stem if times else key, *(times or (None, None)),
            accent=known["accent"] or None, gender=known["gender"][:1].lower() or None,
            language=known["language"] or None,
        )  # fmt: skip
    notes = [f"columns of {path} that are not read: {', '.join(sorted(unread))}"] if unread else []
    return Given(path, "a table", list(found.values()), places, [path], notes)


def _times(start: str, end: str, where: str) -> tuple[float, float] | None:
    """Start and end in seconds of an utterance, None where it is a whole file."""
    if not (start or end):
        return None
    times = number(start), number(end)
    if times[0] is None or times[1] is None or not 0 <= times[0] < times[1] <= LONGEST:
        raise InputError(f"{where} has start {start!r} and end {end!r}; correct them, or leave both empty")
    return times[0], times[1]


def _manifests(path: Path) -> Given:
    """Manifests of lhotse."""
    found: dict[str, Utterance] = {}
    places: dict[Path, str] = {}
    for utterance, where in lhotse_manifests.utterances(path):
        if utterance.id in found:
            raise InputError(f"{where} is a second supervision {utterance.id}; make ids unique, or remove it")
        found[utterance.id] = utterance
        places.setdefault(utterance.audio, where)
    files = [file for own in lhotse_manifests.manifests(path).values() for file in own]
    return Given(path, "lhotse manifests", list(found.values()), places, files)


def name_alike(parts: Sequence[Given]) -> list[str]:
    """Make ids fit for Kaldi, in all parts alike; returns a note of what was changed, if anything was.

    Where ids of any part do not begin with their speakers, or do not sort like
    them, every id becomes <speaker>-<id>.  Characters that an id cannot have,
    such as white space, become `_`; so do those of speakers that would sort
    before the `-`, and `-` itself.
    """
    for prefixed in (False, True):
        named = [[_named(utterance, prefixed) for utterance in part.utterances] for part in parts]
        if all(_fits(utterances) for utterances in named):
            break
    old = {(new.speaker, old.speaker) for part, own in zip(parts, named, strict=True)
           for new, old in zip(own, part.utterances, strict=True)}  # fmt: skip
    for speaker, count in Counter(new for new, _ in old).items():
        if count > 1:
            names = ", ".join(sorted(repr(name) for new, name in old if new == speaker))
            raise InputError(f"{parts[0].path}: the speakers {names} would all be called {speaker}; rename them")
    for part, utterances in zip(parts, named, strict=True):
        for key, count in Counter(utterance.id for utterance in utterances).items():
            if count > 1:
                raise InputError(f"{part.path}: {count} utterances would be called {key}; give them other ids")
        part.utterances = _recordings_apart(utterances)
    return ["Every id is <speaker>-<id> of the corpus, because its own do not sort as Kaldi wants"] if prefixed else []


def _named(utterance: Utterance, prefixed: bool) -> Utterance:
    speaker, key = _safe(utterance.speaker, prefixed), _safe(utterance.id, False)
    if utterance.speaker == utterance.id:
        key = speaker
    elif prefixed:
        key = f"{speaker}-{_safe(utterance.id.removeprefix(f'{utterance.speaker}-'), False)}"
    recording = key if utterance.start is None else _safe(utterance.recording, False)
    return replace(utterance, id=key, speaker=speaker, recording=recording)


def _safe(name: str, strict: bool) -> str:
    return re.sub(r"[^\w.@]+", "_", name) if strict or id_fault(name.encode()) else name


def _fits(utterances: Iterable[Utterance]) -> bool:
    speakers = {utterance.id: utterance.speaker for utterance in utterances}
    return all(key.startswith(speaker) for key, speaker in speakers.items()) and not unsorted(speakers)


def _recordings_apart(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The utterances, with a name of its own for each audio file that several are cut from."""
    names: dict[Path, str] = {}
    for utterance in utterances:
        names.setdefault(utterance.audio, utterance.recording)
    for name, count in Counter(names.values()).items():
        alike = [audio for audio, own in names.items() if own == name]
        names |= {audio: f"{name}_{place}" for place, audio in enumerate(alike, 1)} if count > 1 else {}
    return [u if u.start is None else replace(u, recording=names[u.audio]) for u in utterances]


def names_of_tests(paths: Sequence[Path]) -> list[str]:
    """The name of each test set: that of its file or folder, with the folder above where two are alike."""
    names = [re.sub(r"[^\w.-]+", "_", _stem(path)) for path in paths]
    longer = [
        f"{path.parent.name}_{name}" if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)
    ]
    for path, name in zip(paths, longer, strict=True):
        if longer.count(name) > 1:
            raise InputError(f"{path}: two test sets would be called {name}; rename its folder, or give it once")
        if name in OURS:
            raise InputError(f"{path}: {name} is the name of a set that is made here; rename its folder, or link to it")
    return longer


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.name.partition(".")[0]


def add_places(reasons: dict[Path, str], places: Mapping[Path, str]) -> None:
    """Add to what is wrong with audio files the file and line that names them."""
    for path, place in places.items():
        if path in reasons:
            reasons[path] += f" ({place} names it)"
