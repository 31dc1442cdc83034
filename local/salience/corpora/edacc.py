"""EdAcc v1.0: conversations in English with many accents, https://doi.org/10.7488/ds/3832 (CC BY-SA 4.0).

On disk: `<root>/data/<recording>.wav` (32 kHz, whole conversations),
`<root>/{dev,test}/{segments,text,utt2spk,stm,...}` and
`<root>/linguistic_background.csv`.  There is no training part; splits are the
recipe's business.

Utterance ids get their speaker in front: `EDACC-C06-000000012` of speaker
`EDACC-C06-A` becomes `EDACC-C06-A-000000012`.  Of a conversation in parts
(recording `EDACC-C35_P2`) the part stays in the id, `EDACC-C35-A-P2-000000133`,
because each part counts for itself.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import fields_of, keyed, read_labels, text_lines
from salience.corpora.sets import Sets
from salience.corpora.splits import split_speakers
from salience.data.records import Utterance
from salience.data.tables import number
from salience.errors import InputError
from salience.files import files_below, visible, write_lines

RELEASE, INNER = download.release("edacc"), download.release("edacc_inner")
"""The zip is made on demand and has no fixed checksum; what it holds has."""

find_root = download.Corpus("edacc_v1.0", "edacc", ("linguistic_background.csv", "data/"), RELEASE).find_root

ACCENT_TABLE = Path(__file__).with_name("edacc_accents.tsv")
PARTS = ("dev", "test")
UNMAPPED = "edacc_unmapped_accents.txt"
LONGEST = 30.0
"""Seconds: Whisper's context."""

IGNORED = "ignore_time_segment_in_scoring"
TAG = re.compile(r"<[^<>\s]*>")
RECORDING = re.compile(r"(.+?)(?:_(P[0-9]+))?")

CONTROL = "read control passages (IGNORE_TIME_SEGMENT_IN_SCORING)"
WORDLESS = "turns without a word once tags are removed"
TOO_LONG = f"turns over {LONGEST:g} s"
NO_AUDIO = "turns that start after the end of their recording, or have no length"
BAD_RECORDING = "turns whose recording cannot be used"
"""Reasons in the count of what `utterances` left out."""


@dataclass(frozen=True)
class Background:
    """What a participant said of themselves; `accent` is free text."""

    accent: str
    gender: str


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive` (the release's zip, or its inner tar.gz) or download it; returns the root."""
    if archive is None:
        file = download.download(RELEASE, target, "--edacc-root or --edacc-archive")
    else:
        file = Path(archive)
    with download.whole_folder(target / "edacc_v1.0") as folder:
        with download.temporary_folder(target / ".edacc.tmp") as outer:
            download.unpack(file, outer)
            inner = next((path for path in files_below(outer) if path.name == INNER.name), None)
            if inner is not None:
                download.verify(inner, INNER, f"remove {file} and fetch it again")
                with download.temporary_folder(outer / "unpacked") as unpacked:
                    download.unpack(inner, unpacked)
                    _move(find_root(unpacked), folder)
            elif archive is None:
                raise InputError(
                    f"{file} holds no {INNER.name}, whose checksum is known, so nothing shows that it is the corpus;"
                    " remove it and run the same command again, or give your own copy with --edacc-root or"
                    " --edacc-archive"
                )
            else:
                download.check_own(file, INNER)
                _move(find_root(outer), folder)
    if archive is None:
        file.unlink()
    return find_root(target)


def _move(source: Path, folder: Path) -> None:
    for item in visible(source.iterdir()):
        item.rename(folder / item.name)


def background(root: Path) -> dict[str, Background]:
    """Speaker to what `linguistic_background.csv` says.

    The header's names are whole questions, some with curly apostrophes or
    white space at the end, so a column is known by how its question begins.
    """
    path = root / "linguistic_background.csv"
    rows = fields_of(path, commas=True)
    header = [" ".join(name.replace("\u2019", "'").split()).lower() for name in next(rows, (0, []))[1]]
    participant = _column(path, header, "participant_id")
    accent = _column(path, header, "how would you describe your accent in english")
    gender = _column(path, header, "what is your gender")
    found: dict[str, Background] = {}
    for _, row in rows:
        if not any(row):
            continue
        if len(row) != len(header):
            raise InputError(
                f"{path}: the row of {row[0] or '?'!r} has {len(row)} fields instead of {len(header)}; "
                "unpack the corpus again"
            )
        found[row[participant].strip()] = Background(row[accent].strip(), row[gender].strip())
    return found


def _column(path: Path, header: list[str], beginning: str) -> int:
    matches = [index for index, name in enumerate(header) if name.startswith(beginning)]
    if len(matches) != 1:
        raise InputError(
            f"{path} has {len(matches)} columns that begin with {beginning!r} instead of one; unpack the corpus again"
        )
    return matches[0]


def label_speakers(
    told: Mapping[str, Background], table: Mapping[str, str], by_speaker: Mapping[str, str] | None = None
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """(speaker to accent label, unmapped free text to its speakers).

    `by_speaker` is the user's own speaker to label and comes first; then the
    free text must stand in `table` exactly.  Nobody else gets a label.
    """
    by_speaker = by_speaker or {}
    labelled: dict[str, str] = {}
    unmapped: dict[str, list[str]] = {}
    for speaker in sorted({*told, *by_speaker}):
        label = by_speaker.get(speaker) or table.get(told[speaker].accent if speaker in told else "")
        if label:
            labelled[speaker] = label
        else:
            unmapped.setdefault(told[speaker].accent, []).append(speaker)
    return labelled, unmapped


def utterances(
    root: Path,
    parts: tuple[str, ...] = PARTS,
    accents: Mapping[str, str] | None = None,
    excluded: Counter[str] | None = None,
    bad: BadClips | None = None,
) -> Iterator[Utterance]:
    """The scored turns of `parts`, part by part, sorted by id.

    `accents` is speaker to label, by default from ACCENT_TABLE; a speaker
    without one yields accent None.  Left out, and counted by reason in
    `excluded`: control passages (marked in `text` or in `stm`), turns without
    words, turns over LONGEST seconds, turns outside their recording.  `split`
    is the part.  Bad recordings are left to `bad`; without it, they are
    InputErrors.
    """
    root, bad = find_root(root), bad or BadClips()
    told = background(root)
    if accents is None:
        accents, _ = label_speakers(told, read_labels(ACCENT_TABLE))
    excluded = Counter() if excluded is None else excluded
    for part in parts:
        folder = root / part
        text = keyed(folder / "text")
        speaker_of = keyed(folder / "utt2spk")
        control = _control_passages(folder / "stm")
        segments = {key: _segment(folder / "segments", key, value) for key, value in keyed(folder / "segments").items()}
        names = dict.fromkeys(recording for recording, _, _ in segments.values())
        lengths = bad.durations(root / "data" / f"{name}.wav" for name in names)
        found = []
        for key, (recording, start, end) in segments.items():
            for name, table in (("utt2spk", speaker_of), ("text", text)):
                if key not in table:
                    raise InputError(f"{folder / name} has no line for {key} of segments; unpack the corpus again")
            speaker = speaker_of[key]
            audio = root / "data" / f"{recording}.wav"
            if audio not in lengths:
                excluded[BAD_RECORDING] += 1
                continue
            # Times are rounded to hundredths, so the last turn may end a little after its recording.
            end = min(end, lengths[audio])
            words = " ".join(TAG.sub(" ", text[key]).split())
            reason = None
            if start < 0 or end <= start:
                reason = NO_AUDIO
            elif IGNORED in text[key].lower() or _mostly_in(control.get((recording, speaker), []), start, end):
                reason = CONTROL
            elif not words:
                reason = WORDLESS
            elif end - start > LONGEST:
                reason = TOO_LONG
            if reason:
                excluded[reason] += 1
                continue
            gender = told[speaker].gender.lower() if speaker in told else ""
            found.append(
                Utterance(
                    id=rekeyed(key, recording, speaker),
                    speaker=speaker,
                    audio=audio,
                    text=words,
                    duration=round(end - start, 3),
                    recording=recording,
                    start=start,
                    end=end,
                    accent=accents.get(speaker),
                    gender={"male": "m", "female": "f"}.get(gender),
                    split=part,
                    language="en",
                )
            )
        yield from sorted(found, key=lambda utterance: utterance.id.encode())


def add_sets(
    sets: Sets, root: Path, seen: Sequence[str], speaker_accents: Path | None, seed: int
) -> dict[str, list[str]]:
    """Add the sets of `split_turns`; return accents in the speakers' words that have no label, and the speakers.

    `speaker_accents` is the user's own table of speakers and labels.  An
    accent in `seen` that no speaker has is an InputError.
    """
    root = find_root(root)
    by_speaker = read_labels(speaker_accents) if speaker_accents else {}
    labels, unmapped = label_speakers(background(root), read_labels(ACCENT_TABLE), by_speaker)
    for accent in seen:
        if accent not in labels.values():
            raise InputError(
                f"{root}: no EdAcc speaker has the accent {accent!r}; "
                f"there are {', '.join(sorted(set(labels.values())))}: "
                "correct --seen, or complete the labels with --speaker-accents"
            )
    found = utterances(root, accents=labels, excluded=sets.excluded, bad=sets.bad)
    turns = [replace(turn, split=None) for turn in found]
    split, notes = split_turns(turns, seen, seed)
    sets.found |= split
    sets.notes += notes
    sets.excluded["EdAcc turns of speakers without an accent label"] += sum(turn.accent is None for turn in turns)
    if unmapped:
        sets.notes.append(f"EdAcc: {len(unmapped)} descriptions of accents have no label, see {UNMAPPED}")
    return unmapped


def write_unmapped(folder: Path, unmapped: Mapping[str, Sequence[str]]) -> None:
    """Write UNMAPPED: what has no label, from the most frequent to the rarest; remove it where all have one."""
    path = folder / UNMAPPED
    if not unmapped:
        path.unlink(missing_ok=True)
        return
    ordered = sorted(unmapped.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [f"{len(speakers)}\t{told or '(nothing)'}\t{' '.join(speakers)}" for told, speakers in ordered]
    heading = "# speakers, what they said of their accent, who; give labels with --speaker-accents"
    write_lines(path, [heading, *rows])


def split_turns(
    turns: Sequence[Utterance], seen: Collection[str], seed: int
) -> tuple[dict[str, list[Utterance]], list[str]]:
    """(sets, notes): seen_train, seen_dev and seen_test with the accents `seen`, unseen with all others.

    No speaker is in two sets.  The two of a conversation, who share a channel,
    go to the same set where the numbers of their accents allow it.  `seed` is
    that of the split.
    """
    together: dict[str, set[str]] = defaultdict(set)
    for turn in turns:
        together[turn.recording].add(turn.speaker)
    partners: dict[str, set[str]] = defaultdict(set)
    for speakers in together.values():
        for speaker in speakers:
            partners[speaker] |= speakers - {speaker}
    accents = {turn.speaker: turn.accent for turn in turns if turn.accent in seen}
    chosen = split_speakers(accents, {speaker: sorted(others) for speaker, others in partners.items()}, seed)
    sets = {
        f"seen_{part}": [turn for turn in turns if chosen.get(turn.speaker) == part]
        for part in ("train", "dev", "test")
    }
    sets["unseen"] = [turn for turn in turns if turn.accent and turn.speaker not in chosen]
    crossing = sorted(
        {t.recording for t in sets["seen_train"] if any(chosen.get(p) != "train" for p in partners[t.speaker])}
    )
    notes = [
        "EdAcc: the two speakers of a conversation share a channel and were put in the same set where "
        f"the accents allowed it; {len(crossing)} recordings have one speaker in training and the other outside it"
        + (f" ({', '.join(crossing)})" if crossing else "")
    ]
    tested = {accents[speaker] for speaker, part in chosen.items() if part == "test"}
    for accent in sorted(set(accents.values()) - tested):
        notes.append(f"EdAcc: {accent} has one speaker only, who is in training: it is in no test set")
    return sets, notes


def rekeyed(key: str, recording: str, speaker: str) -> str:
    """The id with its speaker in front; see the module's text."""
    if not key.startswith(f"{recording}-"):
        raise InputError(f"utterance {key} does not begin with its recording {recording}; unpack the corpus again")
    part = RECORDING.fullmatch(recording)[2]  # type: ignore[index]
    return "-".join(filter(None, (speaker, part, key[len(recording) + 1 :])))


def _segment(path: Path, key: str, value: str) -> tuple[str, float, float]:
    fields = value.split()
    start, end = (number(field) for field in fields[1:3]) if len(fields) == 3 else (None, None)
    if start is None or end is None:
        raise InputError(f"{path}: the line of {key} is not a recording, a start and an end; unpack the corpus again")
    return fields[0], start, end


def _control_passages(path: Path) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(recording, speaker) to the times that `stm` marks as read passages; empty without the file."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row, line in text_lines(path) if path.exists() else ():
        fields = line.split()
        if not fields or line.startswith(";;") or IGNORED.upper() not in fields:
            continue
        start, end = (number(field) for field in fields[3:5]) if len(fields) > 4 else (None, None)
        if start is None or end is None:
            raise InputError(
                f"{path}:{row} is not `recording channel speaker start end <label> words`; unpack the corpus again"
            )
        found.setdefault((fields[0], fields[2]), []).append((start, end))
    return found


def _mostly_in(spans: list[tuple[float, float]], start: float, end: float) -> bool:
    inside = sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)
    return inside > 0.5 * (end - start)
