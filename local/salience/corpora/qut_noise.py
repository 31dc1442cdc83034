"""QUT-NOISE: long recordings of noise at ten places (CC BY-SA), Queensland University of Technology.

On disk: `QUT-NOISE/<place>-<n>.wav`, 48 kHz, below one to three folders of
the same name, as each release and script has it.  Only the living room,
HOME-LIVINGB-1, is used here, which the archive of recordings at home holds.
"""

from pathlib import Path

import numpy as np

from salience.audio import write_audio
from salience.corpora import download, mini_noise
from salience.corpora.clips import BadClips
from salience.corpora.recordings import recordings as recordings_in
from salience.corpora.records import Utterance
from salience.errors import InputError
from salience.files import files_below

RELEASE = download.Archive(
    "qutnoisehome.zip",
    (
        "https://data.researchdatafinder.qut.edu.au/dataset/a0eed5af-abd8-441b-b14a-8e064bc3d732/"
        "resource/35cd737a-e6ad-4173-9aee-a1768e864532/download/qutnoisehome.zip",
    ),
)

LIVING_ROOM = "HOME-LIVINGB-1.wav"
RATE = 48000


def _living_room(folder: Path) -> Path:
    found = [path for path in files_below(folder) if path.name == LIVING_ROOM]
    if not found:
        raise InputError(
            f"{folder} holds no {LIVING_ROOM}; give the corpus' folder with --qut-noise-root "
            "or its archive of recordings at home with --qut-noise-archive"
        )
    return found[0]


def find_root(folder: Path) -> Path:
    """`folder`, if the living room is anywhere below it."""
    _living_room(folder)
    return Path(folder)


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive`, or download that of recordings at home, into `target`/QUT-NOISE."""
    target = Path(target)
    file = download.obtain(RELEASE, target, archive, "--qut-noise-root or --qut-noise-archive")
    with download.whole_folder(target / "QUT-NOISE") as folder:
        download.unpack(file, folder)
        find_root(folder)
    if archive is None:
        file.unlink()
    return target / "QUT-NOISE"


def noises(root: Path, bad: BadClips | None = None) -> list[Utterance]:
    """The living room, as a list of one recording, at its own rate and with its own channels."""
    path = _living_room(root)
    return recordings_in(path.parent, [path], bad)


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini QUT-NOISE at `root`: half a minute of a living room, 48 kHz, stereo."""
    seconds = 30
    with download.whole_folder(Path(root)) as folder:
        # Something steady, something that happens, and a little difference between the channels.
        hum, clicks, left, right = (
            mini_noise.noise(kind, seconds, RATE, seed, "qut_noise", number)
            for number, kind in enumerate(("hum", "clicks", "coloured", "coloured"))
        )
        sound = mini_noise.as_int16(np.stack([hum + clicks + left, hum + clicks + right], axis=1) / 2)
        (folder / "QUT-NOISE").mkdir()
        write_audio(folder / "QUT-NOISE" / LIVING_ROOM, sound, RATE, subtype="PCM_16")
        mini_noise.write_note(folder, "QUT-NOISE")
