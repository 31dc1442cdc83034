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

CORPUS = download.Corpus("musan", "musan", ("noise/*/*.wav",), download.release("musan"))
find_root, fetch = CORPUS.find_root, CORPUS.fetch
RATE = 16000


def noises(root: Path, bad: BadClips | None = None) -> list[Utterance]:
    """The recordings of noise, of any length, sorted by id, which is the file's name; bad ones are left to `bad`."""
    folders = [path for path in visible((find_root(root) / "noise").iterdir()) if path.is_dir()]
    found = [recording for folder in folders for recording in recordings_in(folder, folder.glob("*.wav"), bad)]
    return sorted(found, key=lambda recording: recording.id.encode())
