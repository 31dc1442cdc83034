"""MUSAN: music, speech and noise (each file under a free licence), https://www.openslr.org/17.

On disk: `<root>/noise/{free-sound,sound-bible}/noise-<source>-<nnnn>.wav`,
16 kHz, mono, with a LICENSE in each folder; `music` and `speech` likewise,
with ANNOTATIONS.  Only the noise is used here: 930 recordings, of which 877
last a second at least.
"""

from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.recordings import recordings as recordings_in
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import visible

RELEASE = download.Archive(
    "musan.tar.gz",
    (
        "https://www.openslr.org/resources/17/musan.tar.gz",
        "https://us.openslr.org/resources/17/musan.tar.gz",
        "https://openslr.elda.org/resources/17/musan.tar.gz",
        "https://openslr.trmal.net/resources/17/musan.tar.gz",
    ),
    size=11086114085,
    md5="0c472d4fc0c5141eca47ad1ffeb2a7df",
)

RATE = 16000


def find_root(folder: Path) -> Path:
    """The folder with `noise/*/*.wav`: `folder` or one in it."""
    folder = Path(folder)
    for candidate in (folder, *(visible(folder.iterdir()) if folder.is_dir() else ())):
        if visible((candidate / "noise").glob("*/*.wav")):
            return candidate
    raise InputError(
        f"{folder} holds no noise/*/*.wav; give the corpus' folder with --musan-root "
        "or its archive with --musan-archive"
    )


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive`, or download it, into `target`/musan; returns the corpus root."""
    target = Path(target)
    file = download.obtain(RELEASE, target, archive, "--musan-root or --musan-archive")
    with download.whole_folder(target / "musan") as folder:
        download.unpack(file, folder)
        find_root(folder)
    if archive is None:
        file.unlink()
    return find_root(target / "musan")


def noises(root: Path, bad: BadClips | None = None) -> list[Utterance]:
    """The recordings of noise, of any length, sorted by id, which is the file's name; bad ones are left to `bad`."""
    folders = [path for path in visible((find_root(root) / "noise").iterdir()) if path.is_dir()]
    found = [recording for folder in folders for recording in recordings_in(folder, folder.glob("*.wav"), bad)]
    return sorted(found, key=lambda recording: recording.id.encode())
