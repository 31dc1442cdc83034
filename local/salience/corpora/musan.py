"""MUSAN: music, speech and noise (each file under a free licence), https://www.openslr.org/17.

On disk: `<root>/noise/{free-sound,sound-bible}/noise-<source>-<nnnn>.wav`,
16 kHz, mono, with a LICENSE in each folder; `music` and `speech` likewise,
with ANNOTATIONS.  Only the noise is used here: 930 recordings, of which 877
last at least a second.
"""

from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.recordings import recordings as recordings_in
from salience.data.records import Utterance
from salience.files import visible

RELEASE = download.release("musan")
RATE = 16000


def find_root(folder: Path) -> Path:
    """The folder with `noise/*/*.wav`: `folder` or one in it."""
    missing = f"noise/*/*.wav; {download.give('musan')}"
    return download.root_in(folder, lambda path: visible((path / "noise").glob("*/*.wav")), missing)


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive`, or download it, into `target`/musan; returns the corpus root."""
    return download.fetch(RELEASE, Path(target) / "musan", archive, "musan", find_root)


def noises(root: Path, bad: BadClips | None = None) -> list[Utterance]:
    """The recordings of noise, of any length, sorted by id, which is the file's name; bad ones are left to `bad`."""
    folders = [path for path in visible((find_root(root) / "noise").iterdir()) if path.is_dir()]
    found = [recording for folder in folders for recording in recordings_in(folder, folder.glob("*.wav"), bad)]
    return sorted(found, key=lambda recording: recording.id.encode())
