"""Recordings of noise in any folder, and one-second pieces of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from salience.corpora.headers import audio_duration
from salience.corpora.records import Utterance
from salience.errors import InputError

ENDINGS = (".wav", ".flac", ".ogg", ".sph")


def recordings(folder: Path, paths: Iterable[Path] | None = None) -> list[Utterance]:
    """One record a recording, sorted by id: what `paths` names, or all audio below `folder`.

    The id is the path from `folder`, without ending, its parts joined by `-`;
    each recording is its own speaker and says nothing.  Two paths of one id
    are an InputError, and so is a file that cannot be read.
    """
    folder = Path(folder)
    if paths is None:
        paths = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    found: dict[str, Utterance] = {}
    for path in sorted(paths):
        # What a Mac leaves beside its files is named like audio.
        if path.name.startswith("."):
            continue
        key = "_".join("-".join(path.relative_to(folder).with_suffix("").parts).split())
        if key in found:
            raise InputError(f"{path} and {found[key].audio} would both be called {key}; rename one of them")
        found[key] = Utterance(
            id=key, speaker=key, audio=path, text="", duration=audio_duration(path), recording=key
        )
    return [found[key] for key in sorted(found, key=str.encode)]


def of_a_second(found: Sequence[Utterance], folder: Path, option: str) -> list[Utterance]:
    """The recordings that last a second at least.

    None at all is an InputError, which names `folder` and the `option` that
    gave it.
    """
    if not found:
        raise InputError(
            f"{folder} holds no audio ({' '.join(ENDINGS)}); give a folder of recordings with {option}"
        )
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
    return Utterance(
        id=key,
        speaker=key,
        audio=recording.audio,
        text="",
        duration=1.0,
        recording=recording.id,
        start=float(second),
        end=float(second + 1),
    )


def whole_seconds(recording: Utterance) -> list[Utterance]:
    """A recording cut into seconds; what is left at its end is dropped."""
    return [piece(recording, second) for second in range(int(recording.duration))]
