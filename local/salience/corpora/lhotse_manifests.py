"""lhotse's manifests, read as what they are: lines of JSON, gzipped or not.

A folder holds cuts, or recordings and supervisions; which is which is told by what a line has, whatever the file is
called.  Each supervision is an utterance, its accent is what `custom: {accent: ...}` says.  See
https://lhotse.readthedocs.io/en/latest/corpus.html and cuts.html.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salience.data.directories import LONGEST
from salience.data.records import UNKNOWN, Utterance
from salience.data.text import clean
from salience.errors import InputError
from salience.files import foreign

SUFFIXES = (".jsonl", ".jsonl.gz")
WHOLE = 0.02
"""Seconds by which a supervision may miss the ends of a recording that it is all of."""

KINDS = {"cuts": "supervisions", "recordings": "sources", "supervisions": "recording_id"}
"""Kinds of manifests, and a field that only theirs have."""

Row = dict[str, Any]
FILES = "write its audio to files first (lhotse: CutSet.save_audios)"


def manifests(path: Path) -> dict[str, list[Path]]:
    """Kind to the manifests of that kind that belong to `path`, a folder, or a file of cuts or supervisions."""
    folder = path if path.is_dir() else path.parent
    kinds = {file: _kind(file) for file in sorted(folder.iterdir()) if file.name.endswith(SUFFIXES)}
    found = {kind: [file for file, own in kinds.items() if own == kind] for kind in KINDS}
    if path.is_file():
        if kinds[path] not in ("cuts", "supervisions"):
            raise InputError(f"{path}:1 is no cut and no supervision of lhotse; name a manifest of those")
        found |= {kind: [path] if kinds[path] == kind else [] for kind in ("cuts", "supervisions")}
    for kind in ("cuts", "supervisions"):
        if len(found[kind]) > 1:
            names = ", ".join(file.name for file in found[kind])
            raise InputError(f"{path} holds several manifests of {kind} ({names}); name the one that is meant")
    if found["cuts"]:
        return found | {"recordings": [], "supervisions": []}
    if not (found["recordings"] and found["supervisions"]):
        raise InputError(f"{path} needs a manifest of cuts, or one of supervisions beside its recordings; add it")
    return found


def utterances(path: Path) -> Iterator[tuple[Utterance, str]]:
    """The supervisions of a manifest or a folder of them, each with the file and line that it stands in."""
    found = manifests(path)
    if found["cuts"]:
        for where, cut in _rows(found["cuts"][0]):
            if cut.get("type") not in ("MonoCut", "MultiCut"):
                kind = cut.get("type", "cut of no type")
                raise InputError(f"{where} is a {kind}, whose audio is in no file; give the cuts that it was made of")
            recording = _field(cut, "recording", dict, where)
            for supervision in _field(cut, "supervisions", list, where):
                yield _utterance(supervision, recording, _field(cut, "start", float, where), where), where
        return
    recordings = {
        _field(row, "id", str, where): row for file in found["recordings"] for where, row in _rows(file)
    }  # fmt: skip
    for where, supervision in _rows(found["supervisions"][0]):
        name = _field(supervision, "recording_id", str, where)
        if name not in recordings:
            raise InputError(
                f"{where} is of the recording {name}, which no manifest of recordings in {path} has; add it"
            )
        yield _utterance(supervision, recordings[name], 0.0, where), where


def _utterance(supervision: Any, recording: Row, offset: float, where: str) -> Utterance:
    """One utterance; `offset` (seconds) is where the supervision's time begins in the recording."""
    if not isinstance(supervision, dict):
        raise InputError(f"{where} has a supervision that is no object; write the manifest again with lhotse")
    key = _field(supervision, "id", str, where)
    start = offset + _field(supervision, "start", float, where)
    end = start + _field(supervision, "duration", float, where)
    length = _field(recording, "duration", float, where)
    if not -WHOLE <= start < end:
        raise InputError(f"{where}: {key} begins at {start:g} s and ends at {end:g} s; correct its times")
    custom = supervision.get("custom")
    accent = custom.get("accent") if isinstance(custom, dict) else None
    whole = start <= WHOLE and abs(end - length) <= WHOLE
    return Utterance(
        id=key,
        speaker=_text(supervision.get("speaker")) or key,
        audio=_audio(recording, supervision.get("channel"), where),
        text=clean(_text(supervision.get("text"))),
        duration=UNKNOWN if whole else end - max(start, 0.0),
        recording=key if whole else _field(recording, "id", str, where),
        start=None if whole else max(start, 0.0),
        end=None if whole else end,
        accent=clean(_text(accent)) or None,
        gender=_text(supervision.get("gender"))[:1].lower() or None,
        language=clean(_text(supervision.get("language"))) or None,
    )


def _audio(recording: Row, channel: Any, where: str) -> Path:
    """The file that holds just these channels of a recording."""
    name = recording.get("id")
    for transform in recording.get("transforms") or []:
        if not isinstance(transform, dict) or transform.get("name") != "Resample":
            raise InputError(f"{where}: the recording {name} is changed by transforms when it is read; {FILES}")
    wanted = None if channel is None else {*map(str, channel if isinstance(channel, list) else [channel])}
    for source in _field(recording, "sources", list, where):
        channels = {*map(str, _field(source, "channels", list, where))}
        if (wanted is None and len(recording["sources"]) > 1) or not (wanted is None or wanted & channels):
            continue
        if (kind := source.get("type")) != "file":
            raise InputError(f"{where}: the audio of {name} is a {kind} and not a file; {FILES}")
        if wanted is not None and channels != wanted:
            break
        return Path(_field(source, "source", str, where))
    raise InputError(
        f"{where}: no file of the recording {name} holds channel {channel} alone; write each channel to a file "
        "(sox IN OUT remix 1) and describe those"
    )


def _kind(file: Path) -> str | None:
    """What a file's first line is a manifest of."""
    first = next(_rows(file), None)
    return next((kind for kind, field in KINDS.items() if first and field in first[1]), None)


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    """The objects of a manifest, each with its file and line."""
    opened = gzip.open if file.suffix == ".gz" else open
    with foreign(file, "is not lines of JSON", "write the manifest again with lhotse"):
        with opened(file, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                if line.isspace():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    raise InputError(f"{file}:{number} is no object of JSON; write the manifest again with lhotse")
                yield f"{file}:{number}", row


def _field(row: Any, name: str, kind: type, where: str) -> Any:
    """A field that must be there; numbers are finite and may be written as whole ones."""
    value = row.get(name) if isinstance(row, Mapping) else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < LONGEST:
        value = float(value)
    if not isinstance(value, kind) or value == "" or (kind is float and not abs(value) < LONGEST):
        raise InputError(f"{where} has no {name} as lhotse writes it; write the manifest again")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
