"""MUSAN: music, speech and noise (each file under a free licence), https://www.openslr.org/17.

On disk: `<root>/noise/{free-sound,sound-bible}/noise-<source>-<nnnn>.wav`,
16 kHz, mono, with a LICENSE in each folder; `music` and `speech` likewise,
with ANNOTATIONS.  Only the noise is used here: 930 recordings, of which 877
last a second at least.
"""

from pathlib import Path

from salience.audio import write_audio
from salience.corpora import download, mini_noise
from salience.corpora.clips import BadClips
from salience.corpora.recordings import recordings as recordings_in
from salience.corpora.records import Utterance
from salience.errors import InputError
from salience.files import visible
from salience.randomness import generator

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


MINI_NOISES = {"free-sound": 32, "sound-bible": 8}
MINI_SHORT = 0.125
"""Share of recordings that last less than a second."""


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini MUSAN at `root`: 40 recordings of noise, and one each of music and speech.

    One recording of noise in eight is shorter than a second.  What stands for
    music and speech is noise as well: nobody reads it.
    """
    with download.whole_folder(Path(root)) as folder:
        (folder / "README").write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
        number = 0
        for source, count in MINI_NOISES.items():
            for index in range(count):
                name = f"noise-{source}-{index:04d}"
                random = generator(seed, "musan", name)
                short = number % round(1 / MINI_SHORT) == 3
                seconds = float(random.uniform(0.4, 0.95) if short else random.uniform(1, 3))
                kind = mini_noise.KINDS[(number + number // 4) % len(mini_noise.KINDS)]
                _write(folder / "noise" / source / f"{name}.wav", kind, seconds, seed)
                number += 1
        _write(folder / "music" / "fma" / "music-fma-0000.wav", "tones", 5, seed)
        _write(folder / "speech" / "librivox" / "speech-librivox-0000.wav", "coloured", 5, seed)
        for path in sorted(folder.glob("*/*")):
            (path / "LICENSE").write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
            if path.parent.name != "noise":
                (path / "ANNOTATIONS").write_text(f"{next(path.glob('*.wav')).stem} none\n", encoding="utf-8")
        mini_noise.write_note(folder, "MUSAN")


def _write(path: Path, kind: str, seconds: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = mini_noise.noise(kind, seconds, RATE, seed, "musan", path.stem)
    write_audio(path, mini_noise.as_int16(sound), RATE, subtype="PCM_16")
