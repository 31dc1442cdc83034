"""A mini MUSAN."""

from pathlib import Path

from salience.audio import as_int16, write_audio
from salience.corpora import download
from salience.corpora.musan import RATE
from salience.corpora.synthetic import noise
from salience.files import write_lines
from salience.randomness import generator

FOLDER = "musan"

MINI_NOISES = {"free-sound": 32, "sound-bible": 8}
MINI_SHORT = 0.125
"""Share of recordings that last less than a second."""


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini MUSAN at `root`: 40 recordings of noise, and one each of music and speech.

    One recording of noise in eight is shorter than a second.  What stands for
    music and speech is noise as well: nobody reads it.
    """
    with download.whole_folder(root) as folder:
        write_lines(folder / "README", ["Synthetic; see SYNTHETIC.txt."])
        number = 0
        for source, count in MINI_NOISES.items():
            for index in range(count):
                name = f"noise-{source}-{index:04d}"
                random = generator(seed, "musan", name)
                short = number % round(1 / MINI_SHORT) == 3
                seconds = float(random.uniform(0.4, 0.95) if short else random.uniform(1, 3))
                kind = noise.KINDS[(number + number // 4) % len(noise.KINDS)]
                _write(folder / "noise" / source / f"{name}.wav", kind, seconds, seed)
                number += 1
        _write(folder / "music" / "fma" / "music-fma-0000.wav", "tones", 5, seed)
        _write(folder / "speech" / "librivox" / "speech-librivox-0000.wav", "coloured", 5, seed)
        for path in sorted(folder.glob("*/*")):
            write_lines(path / "LICENSE", ["Synthetic; see SYNTHETIC.txt."])
            if path.parent.name != "noise":
                write_lines(path / "ANNOTATIONS", [f"{next(path.glob('*.wav')).stem} none"])
        noise.write_note(folder, "MUSAN")


def _write(path: Path, kind: str, seconds: float, seed: int) -> None:
    sound = noise.noise(kind, seconds, RATE, seed, "musan", path.stem)
    write_audio(path, as_int16(sound), RATE, subtype="PCM_16")
