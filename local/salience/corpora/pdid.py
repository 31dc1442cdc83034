"""PDID, Persian speech by accent, as a collection leaves it or as its owner supplies it.

On disk: `<root>/metadata.tsv`, a table separated by tabs whose first line names
COLUMNS, or at least those REQUIRED, and `<root>/<accent>/*.wav`, 16 kHz mono
16-bit, one clip a file.
The corpus of Sameti et al. (2025) has no public copy; `fetch` unpacks the
user's.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import rows_of
from salience.corpora.splits import groups_of, split_speakers
from salience.data.directories import unsorted
from salience.data.records import Utterance
from salience.data.tables import number as parse_number
from salience.data.text import clean
from salience.errors import InputError
from salience.files import write_lines

METADATA = "metadata.tsv"
LANGUAGE = "fa"


@dataclass(frozen=True)
class Clip:
    """One line of the metadata.

    `path` counts from the root.  `start` and `end` are seconds in `recording`,
    the long recording that the clip was cut from; where nobody knows which,
    the clip stands for itself with its `utt`.  `loudness` is in LUFS
    (ITU-R BS.1770), `snr` in dB, `music` the share of the clip, 0 to 1, where
    there is music.  What is unknown is None, or empty text.  `split` is
    `train`, `dev`, `test` or empty.
    """

    utt: str
    path: str
    accent: str
    recording: str
    start: float | None
    end: float | None
    speaker: str
    loudness: float | None
    snr: float | None
    music: float | None
    text: str
    split: str


COLUMNS = tuple(field.name for field in fields(Clip))
REQUIRED = ("utt", "path", "accent", "speaker", "text", "split")
"""The columns that any owner of clips can fill in; the others may lack or be empty."""
DIGITS = {"start": 3, "end": 3, "loudness": 2, "snr": 1, "music": 3}
"""The columns that hold numbers, with the decimals that are written."""
SPLITS = ("", "train", "dev", "test")
SEPARATORS = "-+#!"
"""What may stand between a speaker and the rest of an id: each sorts before the one before it."""


def write_metadata(root: Path, clips: Iterable[Clip]) -> int:
    """Write `root`/metadata.tsv, sorted by utterance id; returns the number of clips."""
    ordered = sorted(clips, key=lambda clip: clip.utt.encode())
    rows = ([_written(name, getattr(clip, name)) for name in COLUMNS] for clip in ordered)
    write_lines(root / METADATA, map("\t".join, [COLUMNS, *rows]))
    return len(ordered)


def _written(name: str, value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS[name]}f}" if name in DIGITS else str(value)


def read_metadata(root: Path) -> list[Clip]:
    """The lines of `root`/metadata.tsv in their order.

    A required column that is missing, a line with too few or too many fields,
    an invalid number, an id or a file that appears twice (a file with two
    accents, say): each is an InputError that names the line.
    """
    path = root / METADATA
    clips: list[Clip] = []
    by_utt: dict[str, int] = {}
    by_path: dict[str, tuple[int, str]] = {}
    for number, values in rows_of(path, REQUIRED):
        clip = _clip(values, f"{path}:{number}")
        if clip.path in by_path:
            first, accent = by_path[clip.path]
            said = (
                f"with the accent {clip.accent}, and line {first} with {accent}"
                if accent != clip.accent
                else f"as line {first} does"
            )
            raise InputError(f"{path}:{number} lists {clip.path} {said}; keep one of the lines")
        if clip.utt in by_utt:
            raise InputError(
                f"{path}:{number} repeats the id {clip.utt} of line {by_utt[clip.utt]}; give each clip its own"
            )
        by_path[clip.path], by_utt[clip.utt] = (number, clip.accent), number
        clips.append(clip)
    if not clips:
        raise InputError(f"{path} lists no clip; give the folder of a whole PDID, or collect one")
    return clips


def _clip(values: dict[str, str], place: str) -> Clip:
    values = dict.fromkeys(COLUMNS, "") | values
    values["recording"] = values["recording"].strip() or values["utt"]
    for name in ("utt", "path", "accent", "recording", "speaker"):
        value = values[name]
        if not value.strip():
            raise InputError(f"{place} has an empty {name}; fill it in, or remove the line")
        if name in ("utt", "recording", "speaker") and len(value.split()) > 1:
            raise InputError(f"{place} has the {name} {value!r} with a space in it; choose another id")
    if not values["utt"].startswith(values["speaker"]):
        raise InputError(
            f"{place}: the id {values['utt']} does not start with its speaker {values['speaker']}; rename the clip"
        )
    if Path(values["path"]).is_absolute() or ".." in Path(values["path"]).parts:
        raise InputError(
            f"{place} names the file {values['path']}, which is not below the root; give a path that counts from it"
        )
    if values["split"] not in SPLITS:
        raise InputError(f"{place} has the split {values['split']!r}; it is train, dev, test or nothing")
    numbers = {name: _number(values[name], name, place) for name in DIGITS}
    start, end = numbers["start"], numbers["end"]
    if start is not None and end is not None and not 0 <= start < end:
        raise InputError(f"{place} goes from {start} to {end} s; the end must come after the start")
    return Clip(**{name: numbers.get(name, values[name]) if name in DIGITS else values[name] for name in COLUMNS})


def _number(value: str, name: str, place: str) -> float | None:
    found = parse_number(value)
    if found is None and value.strip():
        raise InputError(f"{place} has {value!r} for {name}, which is not a number; correct it or leave it empty")
    return found


def sorted_ids(clips: Sequence[Clip]) -> dict[str, str]:
    """Utterance to an id that sorts as its speaker does, also beside the clips of other corpora.

    Ids that do so are kept.  If any does not, as `1_0` of the speaker `1`
    beside one called `13`, all but those of unknown speakers, who have the
    name of their utterance, become `<speaker>-<utterance>`; with another
    separator where speakers have a `-` in them that this would not sort before.
    """
    kept = {clip.utt: clip.utt for clip in clips}
    named = [clip for clip in clips if clip.utt != clip.speaker]
    choices = ((sep, kept | {clip.utt: f"{clip.speaker}{sep}{clip.utt}" for clip in named}) for sep in SEPARATORS)
    for separator, ids in (("-", kept), *choices):
        parted = all(ids[clip.utt][len(clip.speaker)] <= separator for clip in named)
        if parted and not unsorted({ids[clip.utt]: clip.speaker for clip in clips}):
            return ids
    return kept


def find_root(folder: Path) -> Path:
    """The folder with metadata.tsv: `folder` or one in it."""
    missing = (
        f"{METADATA}; give PDID's folder with --pdid-root, or recordings to collect it from with --recordings-root"
    )
    return download.root_in(folder, lambda path: (path / METADATA).is_file(), missing)


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive` into `target`/pdid; returns the root."""
    refusal = (
        "PDID has no public copy; give yours with --pdid-root or --pdid-archive, or recordings to collect it "
        "from with --recordings-root"
    )
    return download.fetch(refusal, target / "pdid", archive, "pdid", find_root)


def utterances(root: Path, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The clips, sorted by id (see sorted_ids); text cleaned, and empty where there is no transcript.

    Bad audio is left to `bad`; without it, that is an InputError.
    """
    root, bad = find_root(root), bad or BadClips()
    clips = read_metadata(root)
    ids = sorted_ids(clips)
    found = [
        Utterance.file(
            ids[clip.utt],
            clip.speaker,
            root / clip.path,
            clean(clip.text),
            accent=clip.accent,
            split=clip.split or None,
            language=LANGUAGE,
        )
        for clip in sorted(clips, key=lambda clip: ids[clip.utt].encode())
    ]
    yield from bad.usable(found)


def recordings(root: Path) -> dict[str, str]:
    """Utterance to the long recording it was cut from, or to itself; both by their sorted ids."""
    clips = read_metadata(root)
    ids = sorted_ids(clips)
    return {ids[clip.utt]: ids.get(clip.recording, clip.recording) for clip in clips}


def split_clips(
    root: Path, clips: Sequence[Utterance], test_only: Sequence[str], seed: int
) -> tuple[dict[str, list[Utterance]], list[str]]:
    """(sets, notes): accented_train, accented_dev and accented_test.

    The split is that of the metadata.  Where it has none, all that shares a
    speaker or a recording goes to one set, drawn with `seed`.  The accents
    `test_only`, in whatever case, are in the test set alone.
    """
    root = find_root(root)
    table, recording, notes = root / METADATA, recordings(root), []
    renamed = [(utt, key) for utt, key in sorted_ids(read_metadata(root)).items() if utt != key]
    if renamed:
        notes.append(
            f"PDID: {len(renamed)} utterances have ids that do not sort as their speakers do, and were renamed, "
            f"such as {renamed[0][0]} to {renamed[0][1]}"
        )
    if unknown := sum(name == utt for utt, name in recording.items()):
        notes.append(
            f"PDID: {unknown} clips name no recording; that none is in two sets cannot be checked for them, only"
            " speakers can"
        )
    accents = {str(clip.accent) for clip in clips}
    alone = {accent for accent in accents if accent.casefold() in map(str.casefold, test_only)}
    for name in test_only:
        if name.casefold() not in map(str.casefold, accents):
            notes.append(f"test-only accent {name} is not in PDID, which has {', '.join(sorted(accents))}")
    given = [clip for clip in clips if clip.split]
    if given and len(given) < len(clips):
        without = next(clip for clip in clips if not clip.split)
        raise InputError(
            f"{table} has a split for {given[0].id} and none for {without.id}; give one for all clips or for none"
        )
    if wrong := [clip for clip in given if clip.accent in alone and clip.split != "test"]:
        raise InputError(
            f"{table} has {wrong[0].id} in {wrong[0].split}, but {wrong[0].accent} is for testing alone; "
            "correct the split or --test-only"
        )
    how = "is that of metadata.tsv" if given else "was drawn by recording and speaker"
    chosen = {clip.id: clip.split for clip in clips} if given else _drawn(clips, recording, alone, seed)
    sets = {
        f"accented_{part}": [replace(clip, split=None) for clip in clips if chosen[clip.id] == part]
        for part in ("train", "dev", "test")
    }
    notes.append(f"PDID: the split {how}")
    for accent in sorted(accents - {str(clip.accent) for clip in sets["accented_test"]}):
        notes.append(f"PDID: {accent} is in no test set; it needs recordings of other speakers")
    return sets, notes


def _drawn(
    clips: Sequence[Utterance], recording: Mapping[str, str], alone: Collection[str], seed: int
) -> dict[str, str]:
    """Clip to set: who shares a speaker or a recording stays together; with an accent in `alone`, in test."""
    group = groups_of((clip.speaker, recording[clip.id]) for clip in clips)
    accents: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        accents[group[clip.speaker]][str(clip.accent)] += 1
    main_accent = {
        name: min(counts, key=lambda accent: (-counts[accent], accent))
        for name, counts in accents.items()
        if not alone & counts.keys()
    }
    place = split_speakers(main_accent, {}, seed)
    return {clip.id: place.get(group[clip.speaker], "test") for clip in clips}
