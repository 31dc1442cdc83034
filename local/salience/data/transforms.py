"""Data directories made from data directories: fixed, subset, split, combined, copied.

Everything here works on bytes, because the C locale sorts bytes.  One table
is in memory at a time, besides the list of utterances.
"""

import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path

from salience.data.layout import KINDS, PER_UTTERANCE, other_tables
from salience.data.normalisers import squeeze
from salience.data.tables import Tell, check_speaker, faults, ignore, iterate_rows, mend, refuse
from salience.errors import InputError, stale
from salience.files import whole_file

Row = tuple[bytes, bytes]
"""A key and what follows it on its line, stripped."""


def utterance_speakers(folder: Path, tell: Tell = refuse) -> dict[bytes, bytes]:
    """Read the `utt2spk` of a data directory."""
    return read_utt2spk(folder / "utt2spk", tell)


def read_utt2spk(path: Path, tell: Tell = refuse) -> dict[bytes, bytes]:
    """Read the speaker of every utterance.  A line without exactly two fields is an InputError."""
    table: dict[bytes, bytes] = {}
    shared: dict[bytes, bytes] = {}
    for key, speaker in iterate_rows(path, tell):
        if speaker not in shared:
            check_speaker(path, key, speaker)
        table.setdefault(key, shared.setdefault(speaker, speaker))
    if not table:
        raise stale(path, "is empty")
    return table


def utterance_recordings(folder: Path, tell: Tell = refuse) -> Iterator[Row]:
    """Iterate over utterance and recording in `segments`, if there are any; a bad line is an InputError."""
    path = folder / "segments"
    for key, value in iterate_rows(path, tell) if path.exists() else ():
        fields = value.split()
        if len(fields) != 3:
            raise InputError(f"{path}: the line of {_shown(key)} needs a recording, a start and an end")
        yield key, fields[0]


def by_speaker(speakers: Mapping[bytes, bytes]) -> dict[bytes, list[bytes]]:
    """Turn utterance to speaker into speaker to utterances, in the order of the first."""
    found: dict[bytes, list[bytes]] = {}
    for key, speaker in speakers.items():
        found.setdefault(speaker, []).append(key)
    return found


def fix(
    folder: Path, extra_per_utterance: Iterable[str] = (), extra_per_speaker: Iterable[str] = ()
) -> tuple[int, int]:
    """Mend and sort all tables, drop repeated keys, and keep only utterances that every table has.

    Mended are carriage returns, vertical tabs and the like, byte order marks,
    blanks before keys, empty lines and, in transcripts, white space of any
    kind.  An utterance whose transcript is empty is dropped too, since no
    recogniser can be trained on it or scored with it.  The files as they were
    stay in `.backup`.  Returns the number of utterances before and after.
    Nothing is changed when nothing would remain, or what cannot be mended is
    there.
    """
    with _replaced_tables(folder) as working:
        before, after = _write_consistent(folder, working, extra_per_utterance, extra_per_speaker)
        for name in other_tables(folder):
            if not (working / name).exists():
                _write_rows(working / name, _mended_rows(folder / name))
        backup = folder / ".backup"
        backup.mkdir(exist_ok=True)
        for name in _present(folder, (file.name for file in working.iterdir())):
            shutil.copy2(folder / name, backup / name)
    return before, after


def _mended_rows(path: Path) -> Iterator[Row]:
    if path.name != "text":
        return iterate_rows(path, mend)
    return ((key, squeeze(value.decode()).encode()) for key, value in iterate_rows(path, mend))


def _write_consistent(
    source: Path, target: Path, extra_per_utterance: Iterable[str] = (), extra_per_speaker: Iterable[str] = ()
) -> tuple[int, int]:
    """Write the tables of `source`, mended, sorted and with the utterances that all of them have, to `target`.

    The two may be the same folder.  Returns the number of utterances before and after.
    """
    speakers = utterance_speakers(source, mend)
    tables = _tables(source, utterance=extra_per_utterance, speaker=extra_per_speaker)
    keep = set(speakers)
    for name in tables["utterance"]:
        keep = {key for key, value in _mended_rows(source / name) if key in keep and (value or name != "text")}
    recording_of = {key: recording for key, recording in utterance_recordings(source, mend) if key in keep}
    owner = {"recording": recording_of, "speaker": speakers}
    for kind in owner:
        for name in tables[kind]:
            known = {key for key, _ in _mended_rows(source / name)}
            keep = {key for key in keep if owner[kind].get(key, key) in known}
    if not keep:
        names = ", ".join((*tables["utterance"], *tables["recording"]))
        raise InputError(f"{source}: no utterance is in all of {names}")
    kept = {key: speakers[key] for key in keep}
    _write_tables(lambda name: _mended_rows(source / name), target, kept, recording_of, tables)
    return len(speakers), len(keep)


def subset(source: Path, target: Path, keep: Collection[bytes]) -> int:
    """Write the utterances of `keep` to `target`.  Returns their number."""
    source, target = _two(source, target)
    keep = set(keep)
    speakers = {key: speaker for key, speaker in utterance_speakers(source).items() if key in keep}
    if not speakers:
        raise InputError(f"{target} would be empty: {source} has none of the utterances that were asked for")
    with _replaced_tables(target) as folder:
        recordings = dict(utterance_recordings(source))
        _write_tables(lambda name: iterate_rows(source / name), folder, speakers, recordings, _tables(source))
    return len(speakers)


def choose(folder: Path, mode: str, number: int) -> list[bytes]:
    """Choose utterances of a data directory.

    `mode` is `spread` (`number` of them at even distances), `first`, `last`,
    `shortest`, `speakers` (whole speakers in an order drawn once and for all,
    until at least `number` utterances are there) or `per-spk` (up to `number`
    of each speaker, at even distances).
    """
    speakers = utterance_speakers(folder)
    keys = sorted(speakers)
    if number < 1:
        raise InputError(f"{number} utterances of {folder} were asked for; ask for at least one")
    if number > len(keys) and mode != "per-spk":
        raise InputError(f"{number} utterances were asked for, but {folder} has only {len(keys)}")
    if mode == "first":
        return keys[:number]
    if mode == "last":
        return keys[-number:]
    if mode == "spread":
        return _spread(keys, number)
    if mode == "shortest":
        lengths = _lengths(folder)
        return sorted(keys, key=lambda key: (lengths.get(key, float("inf")), key))[:number]
    groups = by_speaker({key: speakers[key] for key in keys})
    if mode == "per-spk":
        return [key for own in groups.values() for key in _spread(own, number)]
    chosen: list[bytes] = []
    for speaker in sorted(groups, key=lambda speaker: random.Random(speaker).random()):
        if len(chosen) < number:
            chosen += groups[speaker]
    return chosen


def listed(folder: Path, path: Path, speakers: bool) -> list[bytes]:
    """The utterances that a list names in its first column, or those of the speakers it names."""
    wanted = {key for key, _ in iterate_rows(path, ignore)}
    table = utterance_speakers(folder)
    return [key for key, speaker in table.items() if (speaker if speakers else key) in wanted]


def split(folder: Path, parts: int, per_utterance: bool = False) -> Path:
    """Cut a data directory into `split<n>/1` ... `split<n>/<n>`, in order and of about equal size.

    Speakers stay whole where there are at least as many as parts.  With
    `per_utterance` they never need to, and the folder is `split<n>utt`.
    Returns the folder.
    """
    speakers = utterance_speakers(folder)
    keys = list(speakers)
    if any(a >= b for a, b in zip(keys, keys[1:])):
        raise InputError(f"{folder / 'utt2spk'} is not sorted; run utils/fix_data_dir.sh {folder}")
    if parts < 1 or parts > len(keys):
        raise InputError(f"{folder} has {len(keys)} utterances, too few for {parts} parts; use fewer jobs (--nj)")
    groups = [[key] for key in keys]
    if not per_utterance and len(speaker_groups := by_speaker(speakers)) >= parts:
        groups = list(speaker_groups.values())
    recordings = dict(utterance_recordings(folder))
    # The parts that need a row, by what its key is.
    needed: dict[str, dict[bytes, set[int]]] = {kind: defaultdict(set) for kind in KINDS}
    for part, own in enumerate(cut(groups, parts)):
        for key in own:
            needed["utterance"][key].add(part)
            needed["speaker"][speakers[key]].add(part)
            needed["recording"][recordings.get(key, key)].add(part)

    target = folder / f"split{parts}{'utt' if per_utterance else ''}"
    # A link may lead to another disk, onto which no folder can be renamed.
    place = target.resolve()
    working = place.with_name(f".{place.name}.tmp")
    shutil.rmtree(working, ignore_errors=True)
    folders = [working / str(number) for number in range(1, parts + 1)]
    for part in folders:
        part.mkdir(parents=True)
    for kind, names in _tables(folder).items():
        for name in names:
            lines: list[list[Row]] = [[] for _ in folders]
            for key, value in iterate_rows(folder / name):
                for part in needed[kind].get(key, ()):
                    lines[part].append((key, value))
            for place_of_part, own_lines in zip(folders, lines):
                _write_rows(place_of_part / name, own_lines)
    for part in folders:
        _write_spk2utt(part, utterance_speakers(part))
    shutil.rmtree(place, ignore_errors=True)
    working.rename(place)
    return target


def combine(
    target: Path, sources: Iterable[Path], extra: Iterable[str] = (), fix: bool = True
) -> tuple[int, int, list[str]]:
    """Merge data directories into one.

    A table that not all of them have is left out, but for two: where only
    some have segments, whole recordings become segments, and where only some
    have `utt2uniq`, the utterances of the others are versions of themselves.
    `extra` names further tables.  With `fix`, only utterances that every
    table has are kept, as in `fix`.  An utterance in two directories, or a
    recording or speaker described differently, is an InputError.

    Returns the number of utterances before and after fixing, and the names of
    the files that were left out.
    """
    sources = [_two(source, target)[0] for source in sources]
    if not sources:
        raise InputError(f"nothing to combine into {target}; name at least one data directory")
    filled = {"segments": _whole_recordings, "utt2uniq": _versions_of_themselves}
    with _replaced_tables(target) as folder:
        for name in dict.fromkeys((*chain(*KINDS.values()), *extra)):
            having = [source for source in sources if (source / name).exists()]
            if len(having) == len(sources) or (having and name in filled):
                tables = {s: iterate_rows(s / name) if s in having else filled[name](s) for s in sources}
                _merge(name, tables, folder, name in PER_UTTERANCE)
        speakers = utterance_speakers(folder)
        _write_spk2utt(folder, speakers)
        there = {file.name for source in sources for file in source.iterdir() if file.is_file()}
        left_out = sorted(name for name in there - set(_present(folder, there)) if not name.startswith("."))
        before, after = _write_consistent(folder, folder) if fix else (len(speakers), len(speakers))
    return before, after, left_out


def copy(
    source: Path, target: Path, utt_prefix: str = "", utt_suffix: str = "", spk_prefix: str = "", spk_suffix: str = ""
) -> int:
    """Copy a data directory, renaming utterances and speakers.  Returns the number of utterances.

    `utt2uniq` then maps every new id to the utterance it is a version of.
    """
    source, target = _two(source, target)
    for prefix, suffix in ((utt_prefix, utt_suffix), (spk_prefix, spk_suffix)):
        example = f"{prefix}x{suffix}"
        if example.split() != [example] or any(faults(f"{example}\n".encode("utf-8", "surrogateescape"))):
            raise InputError(
                f"{example!r} cannot be an id; choose a prefix and a suffix without white space, that do not lead "
                "out of a folder"
            )
    speakers = utterance_speakers(source)

    def renamer(prefix: str, suffix: str) -> Callable[[bytes], bytes]:
        return lambda key: prefix.encode() + key + suffix.encode()

    utterance, speaker = renamer(utt_prefix, utt_suffix), renamer(spk_prefix, spk_suffix)
    recording = bytes if (source / "segments").exists() else utterance
    rename = {"utterance": utterance, "speaker": speaker, "recording": recording}
    with _replaced_tables(target) as folder:
        for kind, names in _tables(source).items():
            for name in names:
                change = speaker if name == "utt2spk" else bytes
                rows = ((rename[kind](key), change(value)) for key, value in iterate_rows(source / name))
                _write_rows(folder / name, rows)
        if (utt_prefix or utt_suffix) and not (source / "utt2uniq").exists():
            _write_rows(folder / "utt2uniq", ((utterance(key), key) for key in speakers))
        _write_spk2utt(folder, utterance_speakers(folder))
    return len(speakers)


def cut(groups: list[list[bytes]], parts: int) -> list[list[bytes]]:
    """Cut a list of groups into parts of about equal size.

    No group is cut, and no part is empty.  There must be as many groups as parts.
    """
    total = sum(map(len, groups))
    done = 0
    cuts: list[list[bytes]] = []
    for index, group in enumerate(groups):
        # A part begins where that is nearest to its share, or where every group left must begin one.
        nearest = done + len(group) / 2 >= total * len(cuts) / parts
        if len(cuts) < parts and (nearest or len(groups) - index == parts - len(cuts)):
            cuts.append([])
        cuts[-1] += group
        done += len(group)
    return cuts


def filter_rows(
    lines: Iterable[bytes], keys: Collection[bytes], field: int = 1, exclude: bool = False
) -> Iterator[bytes]:
    """Yield the lines whose field (counted from 1) is among the keys, or those whose field is not."""
    for line in lines:
        fields = line.split(None, field)
        if len(fields) >= field and (fields[field - 1] in keys) != exclude:
            yield line


def _spread(keys: list[bytes], number: int) -> list[bytes]:
    if number >= len(keys):
        return keys
    return [keys[index * len(keys) // number] for index in range(number)]


def _lengths(folder: Path) -> dict[bytes, float]:
    """Utterance to its length, in frames or seconds, from the first table that tells."""
    for name, measure in (("utt2num_frames", _number), ("utt2dur", _number), ("segments", _seconds_of_segment)):
        if (path := folder / name).exists():
            return {key: measure(path, key, value) for key, value in iterate_rows(path)}
    raise InputError(f"{folder} has none of utt2num_frames, utt2dur and segments; the shortest cannot be told")


def _seconds_of_segment(path: Path, key: bytes, value: bytes) -> float:
    start, end = [b"", b"", *value.split()][-2:]
    return _number(path, key, end) - _number(path, key, start)


def _number(path: Path, key: bytes, value: bytes) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"{path}: the line of {_shown(key)} has {_shown(value)!r} instead of a number; correct it"
        ) from None


def _two(source: Path, target: Path) -> tuple[Path, Path]:
    if source.resolve() == target.resolve():
        raise InputError(f"{target} cannot be made from itself; give another folder")
    return source, target


def _present(folder: Path, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if (folder / name).exists()]


def _tables(folder: Path, **extra: Iterable[str]) -> dict[str, list[str]]:
    """What the keys are to the tables that a folder has, `extra` ones included."""
    return {kind: _present(folder, (*names, *extra.get(kind, ()))) for kind, names in KINDS.items()}


@contextmanager
def _replaced_tables(target: Path) -> Iterator[Path]:
    """A folder to write all tables of `target` to; they replace the old ones only if the block ends well.

    A table left over from earlier contents would contradict the new ones.
    """
    # Inside the target, and a link followed: nothing is renamed from one disk to another.
    target = target.resolve()
    is_new = not target.exists()
    working = target / ".tables.tmp"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        yield working
        written = [file.name for file in working.iterdir()]
        for name in written:
            (working / name).replace(target / name)
        for name in _present(target, (*chain(*KINDS.values()), "spk2utt")):
            if name not in written:
                (target / name).unlink()
    finally:
        shutil.rmtree(working, ignore_errors=True)
        if is_new and not any(target.iterdir()):
            target.rmdir()


def _write_tables(
    table: Callable[[str], Iterator[Row]],
    target: Path,
    speakers: Mapping[bytes, bytes],
    recordings: Mapping[bytes, bytes],
    tables: Mapping[str, list[str]],
) -> None:
    """Write the rows of the utterances in `speakers` from all tables; without `recordings`, they are recordings."""
    keep = {
        "utterance": speakers.keys(),
        "speaker": set(speakers.values()),
        "recording": {recordings.get(key, key) for key in speakers},
    }
    for kind, names in tables.items():
        for name in names:
            _write_rows(target / name, (row for row in table(name) if row[0] in keep[kind]))
    _write_spk2utt(target, speakers)


def _write_spk2utt(folder: Path, speakers: Mapping[bytes, bytes]) -> None:
    groups = by_speaker({key: speakers[key] for key in sorted(speakers)})
    _write_rows(folder / "spk2utt", ((speaker, b" ".join(keys)) for speaker, keys in groups.items()))


def _write_rows(path: Path, table: Iterable[Row]) -> None:
    """Write a table sorted; of rows with the same key the first counts."""
    ordered = sorted(table, key=itemgetter(0))
    previous = None
    with whole_file(path, "wb") as handle:
        for key, value in ordered:
            if key != previous:
                handle.write(key + b" " + value + b"\n" if value else key + b"\n")
            previous = key


def _whole_recordings(folder: Path) -> Iterator[Row]:
    if not (folder / "utt2dur").exists():
        raise InputError(f"{folder} needs segments or utt2dur, as others that are combined have segments")
    for key, seconds in iterate_rows(folder / "utt2dur"):
        yield key, key + b" 0 " + seconds


def _versions_of_themselves(folder: Path) -> Iterator[Row]:
    for key in utterance_speakers(folder):
        yield key, key


def _merge(name: str, tables: Mapping[Path, Iterable[Row]], target: Path, unique: bool) -> None:
    """Merge the tables of several data directories into one.  Only if not `unique` may two have the same row."""
    merged: dict[bytes, tuple[bytes, Path]] = {}
    for source, table in tables.items():
        for key, value in table:
            if key not in merged:
                merged[key] = value, source
                continue
            known, first = merged[key]
            if first == source:
                raise InputError(f"{source / name} repeats the key {_shown(key)}; run utils/fix_data_dir.sh {source}")
            if unique or value != known:
                raise InputError(
                    f"{_shown(key)} is in {first / name} and {source / name}; "
                    "give the utterances of one of them a prefix with utils/copy_data_dir.sh"
                )
    _write_rows(target / name, ((key, value) for key, (value, _) in merged.items()))


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "replace")
