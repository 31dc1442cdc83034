"""A mini Free Spoken Digit Dataset."""

from pathlib import Path

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.fsdd import RATE
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.randomness import generator

FOLDER = "fsdd"

MINI_SPEAKERS = {
    "ann": "USA/neutral", "bob": "USA/neutral",
    "claus": "DEU/German", "dora": "DEU/German", "emile": "BEL/French",
}  # fmt: skip


def synthesise(root: Path, seed: int = 0, indices: int = 20) -> None:
    """Write a mini FSDD at `root`: five speakers of three accents, `indices` takes of each digit."""
    cast = {
        name: voices.cast([voices.FSDD_ACCENTS[accent]], 1, seed, "fsdd", name)[0]
        for name, accent in MINI_SPEAKERS.items()
    }
    takes = [(name, digit, index) for name in cast for digit in range(10) for index in range(indices)]
    jobs = [
        cast[name].take(digits.DIGITS[digit], generator(seed, "take", name, digit, index))
        for name, digit, index in takes
    ]
    with download.whole_folder(root) as folder:
        for (name, digit, index), samples in zip(takes, speak(jobs, RATE), strict=True):
            audio = voices.as_audio(voices.trimmed(samples), seed, name, digit, index)
            write_audio(folder / "recordings" / f"{digit}_{name}_{index}.wav", audio, RATE, subtype="PCM_16")
        genders = {"m": "male", "f": "female"}
        metadata = {
            name: {"gender": genders[cast[name].gender], "accent": accent, "language": "english"}
            for name, accent in MINI_SPEAKERS.items()
        }
        (folder / "metadata.py").write_text(
            f'"""A python dictionary to store meta-data about the speakers."""\n\nmetadata = {metadata!r}\n'
        )
        spoken_by = {
            f"{accent} ({name}: {cast[name].description})": voices.FSDD_ACCENTS[accent]
            for name, accent in MINI_SPEAKERS.items()
        }
        voices.write_note(folder, "the Free Spoken Digit Dataset", spoken_by, others=["README.md"])
