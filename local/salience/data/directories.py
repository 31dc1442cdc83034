"""Data directories in Kaldi's format, from and to utterance records."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from more_itertools import map_reduce

from salience.data.records import Utterance
from salience.data.tables import number, read_speakers, read_table, write_table
from salience.errors import InputError

LONGEST = 1e6
"""Seconds, eleven days: no recording is as long."""

OPTIONAL = {"utt2accent": "accent", "utt2lang": "language", "utt2split": "split"}
"""Tables of what may be known of an utterance, and where its record has it."""


def unsorted(utt2spk: Mapping[str, str]) -> tuple[str, str] | None:
    """The first two neighbours among the sorted utterances whose speakers are not sorted; Kaldi wants both sorts.

    Speakers `1` and `13` are sorted, their utterances `1_0` and `13_0` are
    not, because `3` comes before `_`, and `-` before either.
    """
    # Code points and UTF-8, as LC_ALL=C compares it, sort alike.
    return next((pair for pair in pairwise(sorted(utt2spk)) if utt2spk[pair[0]] > utt2spk[pair[1]]), None)


def write_data_dir(folder: Path, utterances: Iterable[Utterance]) -> int:
    """Write `wav.scp`, `segments`, `text`, `utt2spk`, `spk2utt`, `utt2dur` and what else is known.

    `segments` is written when any utterance is part of a recording.  Returns
    the number of utterances.  An id that appears twice, or that does not start
    with its speaker, and utterances that do not sort like their speakers, are
    InputErrors: Kaldi's two sorts would disagree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wav, segments, text, utt2spk, utt2dur = {}, {}, {}, {}, {}
    optional: dict[str, dict[str, str]] = {name: {} for name in (*OPTIONAL, "spk2gender")}
    whole: dict[str, str] = {}
    for utterance in utterances:
        key = utterance.id
        if key in text:
            raise InputError(f"{folder}: the utterance id {key} appears twice; make ids unique in the corpus lists")
        if not key.startswith(utterance.speaker):
            raise InputError(f"{folder}: utterance id {key} does not start with its speaker {utterance.speaker}")
        text[key] = utterance.text
        utt2spk[key] = utterance.speaker
        utt2dur[key] = f"{utterance.duration:.3f}"
        wav[utterance.recording] = str(utterance.audio)
        if utterance.start is not None and utterance.end is not None:
            segments[key] = f"{utterance.recording} {utterance.start:.3f} {utterance.end:.3f}"
        else:
            whole[key] = f"{utterance.recording} 0.000 {utterance.duration:.3f}"
        for name, attribute in OPTIONAL.items():
            if (value := getattr(utterance, attribute)) is not None:
                optional[name][key] = value
        if utterance.gender in ("m", "f"):
            optional["spk2gender"][utterance.speaker] = utterance.gender
    if not text:
        raise InputError(
            f"{folder} would be empty: no utterance of the corpus belongs to this set; check the corpus root and the"
            " accents asked for"
        )
    if pair := unsorted(utt2spk):
        first, second = (f"{key} of {utt2spk[key]}" for key in pair)
        raise InputError(
            f"{folder}: the utterance {first} comes before {second}, but their speakers the other way round; "
            "Kaldi wants both sorted: put a - behind the speaker in each id, and in no speaker"
        )
    spk2utt = map_reduce(sorted(utt2spk), utt2spk.__getitem__)
    tables = {"wav.scp": wav, "text": text, "utt2spk": utt2spk, "utt2dur": utt2dur}
    tables["spk2utt"] = {speaker: " ".join(keys) for speaker, keys in spk2utt.items()}
    # With the file, every utterance needs its line, also one that is a whole recording.
    tables["segments"] = segments | whole if segments else {}
    for name, table in optional.items():
        complete = len(table) == (len(spk2utt) if name == "spk2gender" else len(text))
        tables[name] = table if complete else {}
    for name, table in tables.items():
        if table:
            write_table(folder / name, table)
        else:
            (folder / name).unlink(missing_ok=True)
    return len(text)


def read_data_dir(folder: Path) -> list[Utterance]:
    """Read a data directory as records, in the order of `utt2spk`.

    Optional tables may be absent.  A key of `utt2spk` that another table
    lacks is an InputError, as is a segment that begins behind the end that
    `reco2dur` gives its recording.
    """
    utt2spk = read_speakers(folder / "utt2spk")
    wav = read_table(folder / "wav.scp")
    names = ("segments", "text", "utt2dur", "spk2gender", "reco2dur", *OPTIONAL)
    tables = {name: read_table(folder / name) for name in names if (folder / name).exists()}

    def known(table: str, key: str) -> str | None:
        return tables.get(table, {}).get(key)

    records = []
    for key, speaker in utt2spk.items():
        recording, start, end = key, None, None
        if "segments" in tables:
            recording, start, end = _segment(folder, key, tables["segments"], tables.get("reco2dur", {}))
        seconds = known("utt2dur", key)
        records.append(
            Utterance(
                id=key,
                speaker=speaker,
                audio=Path(_value(wav, recording, folder / "wav.scp")),
                text=_value(tables["text"], key, folder / "text") if "text" in tables else "",
                duration=_seconds(seconds, key, folder / "utt2dur") if seconds is not None else 0.0,
                recording=recording,
                start=start,
                end=end,
                gender=known("spk2gender", speaker),
                **{attribute: known(name, key) for name, attribute in OPTIONAL.items()},
            )
        )
    return records


def _segment(folder: Path, key: str, segments: dict[str, str], lengths: Mapping[str, str]) -> tuple[str, float, float]:
    """Recording, start and end (seconds) of an utterance; `lengths` are those of the recordings."""
    path = folder / "segments"
    fields = _value(segments, key, path).split()
    if len(fields) != 3:
        raise InputError(f"{path}: the line of {key} needs a recording, a start and an end")
    recording = fields[0]
    start, end = (_seconds(field, key, path) for field in fields[1:])
    if end <= start:
        raise InputError(f"{path}: {key} ends at {end:g} s and starts at {start:g} s; correct its line")
    length = lengths.get(recording)
    if length is not None and start >= _seconds(length, recording, folder / "reco2dur"):
        raise InputError(
            f"{path}: {key} begins at {start:g} s, where {recording} has ended ({length} s); correct its line"
        )
    return recording, start, end


def _seconds(text: str, key: str, path: Path) -> float:
    value = number(text)
    if value is None or not 0 <= value <= LONGEST:
        raise InputError(f"{path}: {key} has {text!r} where seconds should be; correct its line")
    return value


def _value(table: dict[str, str], key: str, path: Path) -> str:
    if key not in table:
        raise InputError(f"{path} has no line for {key}; run utils/fix_data_dir.sh")
    return table[key]
