"""The rules of a data directory: Kaldi's, and what our own stages need besides."""

import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from sys import intern

from salience.data.layout import PER_RECORDING, PER_SPEAKER, PER_UTTERANCE, other_tables
from salience.data.leakage import examples, sentence_key, sentences_of, speakers_of
from salience.data.tables import Fault, character_name, id_fault, ignore, iterate_table
from salience.data.tables import number as parse_number
from salience.data.text import is_printable
from salience.errors import InputError

SHOWN = 5
"""At most this many offending lines are named for each fault of a file."""

TOLERANCE = 0.1
"""Seconds by which a segment may pass the end of its recording: an MP3's header only estimates its length."""

DISAGREES = "does not say the same as utt2spk (utils/fix_data_dir.sh makes it anew)"

FORBIDDEN_WORDS = frozenset(("<s>", "</s>", "#0"))


class _Findings:
    """Faults found so far, collected so that a million equal ones become one sentence."""

    def __init__(self, printable: bool) -> None:
        self.printable = printable
        self._found: dict[tuple[Path, str], tuple[int, list[str]]] = {}
        self._read: set[Path] = set()

    def is_new(self, path: Path) -> bool:
        """Whether a file is read for the first time."""
        if path in self._read:
            return False
        self._read.add(path)
        return True

    def add(self, path: Path, fault: str, number: int | None = None, key: str = "") -> None:
        count, places = self._found.get((path, fault), (0, []))
        if count < SHOWN:
            where = f"line {number}" if number is not None else ""
            places.append(f"{where} ({key})" if where and key else where or key)
        self._found[path, fault] = count + 1, places

    def tell(self, path: Path, number: int, fault: Fault, key: bytes) -> None:
        """Add what a reader of tables found."""
        self.add(path, fault.of_file, number, key.decode("utf-8", "replace"))

    def sentences(self) -> list[str]:
        told = []
        for (path, fault), (count, places) in self._found.items():
            where = ", ".join(place for place in places if place)
            more = f" and {count - SHOWN} more" if count > SHOWN else ""
            told.append(f"{path}: {fault}" + (f": {where}{more}" if where else ""))
        return told


@dataclass
class _Last:
    """The latest start and end in a recording: seconds, line number, utterance."""

    start: tuple[float, int, str]
    end: tuple[float, int, str]


def validate(
    folder: Path,
    *,
    text: bool = True,
    feats: bool = True,
    wav: bool = True,
    printable: bool = True,
    speaker_order: bool = True,
    max_duration: float | None = None,
    count_tokens: Callable[[str], int] | None = None,
    max_tokens: int = 448,
    disjoint_speakers: Iterable[Path] = (),
    disjoint_sentences: Iterable[Path] = (),
    need_gb: float | None = None,
) -> list[str]:
    """Check a data directory.

    `text`, `feats` and `wav` say whether the files must be there; `printable`
    whether transcripts must be free of unprintable characters (never of odd
    white space); `speaker_order` whether `utt2spk` must be sorted by speaker too.
    `max_duration` is in seconds.  `count_tokens` gives the length of a
    transcript as the recogniser's decoder reads it, `max_tokens` its limit.
    The directory must share no speaker with `disjoint_speakers` and no
    sentence with `disjoint_sentences`; its disk must have `need_gb` (10^9
    bytes) free.  Returns one sentence for each fault, with the file and the
    first offending lines; none when all is well.
    """
    findings = _Findings(printable)
    path = folder / "utt2spk"
    if not path.is_file() or path.stat().st_size == 0:
        return [f"{path}: there is no such file, or it is empty; run the step that writes {folder} again"]
    speaker_of = _check_speakers(folder, speaker_order, findings)
    speakers = set(speaker_of.values())
    for name, required in (("text", text), ("feats.scp", feats), ("wav.scp", wav)):
        if required and not (folder / name).exists():
            option = f"--no-{name.partition('.')[0]}"
            findings.add(folder / name, f"there is no such file (if that is by design, give {option})")
    duration_of = _check_utterance_tables(folder, speaker_of, findings)
    _check_text(folder / "text", count_tokens, max_tokens, findings)
    for name in PER_SPEAKER:
        _check_keys(folder / name, speakers, "speaker", findings)
    _check_genders(folder / "spk2gender", findings)
    recordings = set(speaker_of)
    if (folder / "segments").exists():
        lasts = _check_segments(folder / "segments", duration_of, findings)
        recordings = set(lasts)
        if (folder / "reco2dur").exists() or (wav and (folder / "wav.scp").exists()):
            _check_ends(folder, lasts, findings)
    for name in PER_RECORDING:
        _check_keys(folder / name, recordings, "recording", findings)
    _check_wav(folder / "wav.scp", findings)
    for name in other_tables(folder):
        deque(iterate_table(folder / name, findings.tell), maxlen=0)
    if max_duration is not None:
        # Where neither utt2dur nor segments has them, utterances are whole recordings.
        _check_durations(folder, duration_of or dict(_recording_lengths(folder, findings)), max_duration, findings)
    for other in disjoint_speakers:
        shared = sorted(speakers & speakers_of(other))
        if shared:
            findings.add(path, f"shares speakers with {other}, which must be disjoint", key=examples(shared))
    for other in disjoint_sentences:
        _check_new_sentences(folder / "text", other, findings)
    if need_gb is not None:
        free = shutil.disk_usage(folder).free / 1e9
        if free < need_gb:
            findings.add(folder, f"the next stage needs {need_gb:g} GB on this disk, and {free:.1f} GB are free")
    return findings.sentences()


def _lines(path: Path, findings: _Findings) -> Iterator[tuple[int, str, str]]:
    """Line number, key and value of each readable line, which is what every check looks at; none of an absent file.

    Whoever reads a table to its end first finds what is wrong with its form,
    too: its characters, and keys that are not sorted and unique as bytes.
    """
    if not path.exists():
        return
    first = findings.is_new(path)
    # A path may hold any character, and tabs may part the fields of all but a transcript.
    printable = findings.printable or path.name != "text"
    any_value, allowed = path.suffix == ".scp", "" if path.name == "text" else "\t"
    previous = ""
    for number, key, value in iterate_table(path, findings.tell if first else ignore):
        if first:
            if key == previous:
                findings.add(path, "repeats keys", number, key)
            elif key < previous:
                findings.add(path, "is not sorted as LC_ALL=C sorts (utils/fix_data_dir.sh sorts it)", number, key)
            previous = key
            if not (value.isprintable() and key.isprintable()):
                # The reader has named a space in a key.
                for character in dict.fromkeys("".join(key.split()) + ("" if any_value else value)):
                    if not (is_printable(character) or character in allowed) and (printable or character.isspace()):
                        findings.add(path, f"has the character {character_name(character)} in it", number, key)
        yield number, key, value


def _check_speakers(folder: Path, speaker_order: bool, findings: _Findings) -> dict[str, str]:
    """Check `utt2spk` and `spk2utt`.  Returns the speaker of every utterance."""
    path = folder / "utt2spk"
    speaker_of: dict[str, str] = {}
    known: set[str] = set()
    previous = ""
    for number, key, speaker in _lines(path, findings):
        if speaker not in known:
            if fault := id_fault(speaker.encode()):
                findings.add(path, fault.of_file, number, key)
                continue
            known.add(speaker)
        if speaker_order and speaker < previous:
            findings.add(
                path, "is not sorted by speaker as well (begin every utterance id with its speaker's id)", number, key
            )
        previous = speaker
        speaker_of[key] = intern(speaker)
    path = folder / "spk2utt"
    if not path.exists():
        findings.add(path, "there is no such file (utils/fix_data_dir.sh makes it)")
        return speaker_of
    deque(_lines(path, findings), maxlen=0)
    lists = ((number, speaker, tuple(keys.split())) for number, speaker, keys in _lines(path, findings))
    ordered = sorted(speaker_of.items(), key=lambda item: (item[1], item[0]))
    groups = groupby(ordered, key=lambda item: item[1])
    for speaker, group in groups:
        expected = tuple(key for key, _ in group)
        number, found, keys = next(lists, (None, "", ()))
        if (found, keys) != (speaker, expected):
            findings.add(path, DISAGREES, number, speaker)
            return speaker_of
    for number, speaker, _ in lists:
        findings.add(path, DISAGREES, number, speaker)
    return speaker_of


def _check_keys(path: Path, wanted: Iterable[str], what: str, findings: _Findings) -> None:
    """The table, where it is there, has exactly the wanted keys, each with a value."""
    if not path.exists():
        return
    wanted = wanted if isinstance(wanted, (set, dict)) else set(wanted)
    found = set()
    for number, key, value in _lines(path, findings):
        if key not in wanted:
            findings.add(path, f"has keys that are not {what}s of this directory", number, key)
        if not value and path.name != "text":
            findings.add(path, "has keys without a value", number, key)
        found.add(key)
    if len(found) < len(wanted) or not found.issuperset(wanted):
        for key in sorted(set(wanted) - found):
            findings.add(path, f"lacks {what}s (utils/fix_data_dir.sh drops them everywhere)", key=key)


def _check_utterance_tables(folder: Path, speaker_of: dict[str, str], findings: _Findings) -> dict[str, float]:
    """Check the keys of all tables by utterance.  Returns durations in seconds, where `utt2dur` has them."""
    durations: dict[str, float] = {}
    for name in PER_UTTERANCE:
        if name != "utt2spk":
            _check_keys(folder / name, speaker_of, "utterance", findings)
    for name in ("utt2dur", "utt2num_frames", "reco2dur"):
        for number, key, value in _lines(folder / name, findings):
            length = parse_number(value)
            if length is None or length <= 0:
                findings.add(folder / name, "has values that are not lengths above 0", number, key)
            elif name == "utt2dur":
                durations[key] = length
    return durations


def _check_text(path: Path, count_tokens: Callable[[str], int] | None, max_tokens: int, findings: _Findings) -> None:
    """Every transcript has words, and is short enough."""
    for number, key, value in _lines(path, findings):
        words = value.split()
        if not words:
            findings.add(path, "has empty transcripts (utils/fix_data_dir.sh drops them)", number, key)
        for word in FORBIDDEN_WORDS.intersection(words):
            findings.add(path, f"has {word} as a word", number, key)
        # A token is at least one byte, and no prompt is longer than eight tokens.
        if count_tokens and len(value.encode()) + 8 > max_tokens and (length := count_tokens(value)) > max_tokens:
            findings.add(path, f"has transcripts over {max_tokens} tokens", number, f"{key}, {length} tokens")


def _check_genders(path: Path, findings: _Findings) -> None:
    for number, key, value in _lines(path, findings):
        if value not in ("m", "f"):
            findings.add(path, "has values other than m and f", number, key)


def _check_segments(path: Path, duration_of: dict[str, float], findings: _Findings) -> dict[str, _Last]:
    """Check the times.  Returns what comes last in each recording."""
    known = bool(duration_of)
    lasts: dict[str, _Last] = {}
    for number, key, value in _lines(path, findings):
        fields = value.split()
        times = [parse_number(field) for field in fields[1:]]
        if len(fields) != 3 or times[0] is None or times[1] is None:
            findings.add(path, "has lines that are not utterance, recording, start and end", number, key)
            continue
        start, end = times[0], times[1]
        if not 0 <= start < end:
            findings.add(path, "has segments that do not end after they start, or start before 0", number, key)
        if not known:
            duration_of[key] = end - start
        last = lasts.setdefault(fields[0], _Last((start, number, key), (end, number, key)))
        if start > last.start[0]:
            last.start = start, number, key
        if end > last.end[0]:
            last.end = end, number, key
    return lasts


def _check_ends(folder: Path, lasts: dict[str, _Last], findings: _Findings) -> None:
    """No segment begins behind or passes the end of its recording.  A recording behind a command cannot be measured."""
    path = folder / "segments"
    for recording, length in _recording_lengths(folder, findings):
        if recording not in lasts:
            continue
        start, number, key = lasts[recording].start
        if start >= length:
            place = f"{key} begins at {start:g} s, {recording} ends at {length:.2f} s"
            findings.add(path, "has segments that begin behind the end of their recording", number, place)
        end, number, key = lasts[recording].end
        if end > length + TOLERANCE:
            place = f"{key} ends at {end:g} s, {recording} at {length:.2f} s"
            findings.add(path, "has segments past the end of their recording", number, place)


def _recording_lengths(folder: Path, findings: _Findings) -> Iterator[tuple[str, float]]:
    """Recording and length in seconds, from `reco2dur` or from the audio files' headers."""
    if (folder / "reco2dur").exists():
        for _, key, value in _lines(folder / "reco2dur", findings):
            if (length := parse_number(value)) is not None:
                yield key, length
        return
    path = folder / "wav.scp"
    # Imported here: without segments, nothing but the standard library is needed.
    from salience.audio import audio_duration

    for number, key, value in _lines(path, findings):
        if value.endswith("|"):
            continue
        try:
            yield key, audio_duration(Path(value))
        except InputError:
            findings.add(path, "names audio that is missing or cannot be read", number, f"{key}, {value}")


def _check_wav(path: Path, findings: _Findings) -> None:
    for number, key, value in _lines(path, findings):
        if re.match(r"~|.*\s~", value):
            findings.add(path, "has paths that begin with ~, which only a shell expands", number, key)


def _check_durations(folder: Path, duration_of: dict[str, float], longest: float, findings: _Findings) -> None:
    path = folder / next((name for name in ("utt2dur", "segments") if (folder / name).exists()), "wav.scp")
    for key, seconds in duration_of.items():
        if seconds > longest:
            findings.add(path, f"has utterances over {longest:g} s", key=f"{key}, {seconds:g} s")


def _check_new_sentences(path: Path, other: Path, findings: _Findings) -> None:
    known = sentences_of(other)
    for number, key, value in _lines(path, findings):
        if sentence_key(value) in known:
            findings.add(path, f"shares sentences with {other}, which must be disjoint", number, key)
