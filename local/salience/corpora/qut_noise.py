"""QUT-NOISE: long recordings of noise at ten places (CC BY-SA), Queensland University of Technology.

On disk: `QUT-NOISE/<place>-<n>.wav`, 48 kHz, below one to three folders of
the same name, as each release and script has it.  Only the living room,
HOME-LIVINGB-1, is used here, which the archive of recordings at home holds.
"""

from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.recordings import recordings as recordings_in
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below

RELEASE = download.release("qut_noise")
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
    return folder


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive`, or download that of recordings at home, into `target`/QUT-NOISE."""
    return download.fetch(RELEASE, target / "QUT-NOISE", archive, "qut-noise", find_root)


def noises(root: Path, bad: BadClips | None = None) -> list[Utterance]:
    """The living room, as a list of one recording, at its own rate and with its own channels."""
    path = _living_room(root)
    return recordings_in(path.parent, [path], bad)
