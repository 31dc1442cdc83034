"""Recordings of noise in any folder, and one-second pieces of them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from salience.corpora.clips import BadClips
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below, visible

ENDINGS = (".wav", ".flac", ".ogg", ".sph")


def recordings(folder: Path, paths: Iterable[Path] | None = None, bad: BadClips | None = None) -> list[Utterance]:
    """One record a recording, sorted by id: what `paths` names, or all audio below `folder`.

    The id is the path from `folder`, without ending, its parts joined by `-`;
    each recording is its own speaker and says nothing.  Two paths of one id
    are an InputError.  A file that cannot be read is left to `bad`; without
    it, that is an InputError, too.
    """
    bad = bad or BadClips()
    if paths is None:
        paths = (path for path in files_below(folder) if path.suffix.lower() in ENDINGS)
    found: dict[str, Utterance] = {}
    for path in visible(paths):
        key = "_".join("-".join(path.relative_to(folder).with_suffix("").parts).split())
        if key in found:
            raise InputError(f"{path} and {found[key].audio} would both be called {key}; rename one of them")
        found[key] = Utterance.file(key, key, path, "")
    return bad.usable(found[key] for key in sorted(found, key=os.fsencode))


def of_a_second(found: Sequence[Utterance], folder: Path, option: str) -> list[Utterance]:
    """The recordings that last at least a second.

    None at all is an InputError, which names `folder` and the `option` that
    gave it.
    """
    if not found:
        raise InputError(f"{folder} holds no audio ({' '.join(ENDINGS)}); give a folder of recordings with {option}")
    usable = [recording for recording in found if recording.duration >= 1]
    if not usable:
        raise InputError(
            f"{folder} holds only recordings shorter than a second ({len(found)} of them); "
            f"give longer ones with {option}"
        )
    return usable


def piece(recording: Utterance, second: int) -> Utterance:
    """The second that begins `second` seconds into a recording."""
    key = f"{recording.id}-{second:04d}"
    place = {"start": float(second), "end": float(second + 1), "duration": 1.0}
    return replace(recording, id=key, speaker=key, recording=recording.id, **place)


def whole_seconds(recording: Utterance) -> list[Utterance]:
    """A recording cut into seconds; what is left at its end is dropped."""
    return [piece(recording, second) for second in range(int(recording.duration))]
