"""A mini Speech Commands of eight words."""

from pathlib import Path

import numpy as np

from salience.audio import as_int16, write_audio
from salience.corpora import download
from salience.corpora.speech_commands import LISTS, RATE
from salience.corpora.synthetic import noise, voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_lines
from salience.randomness import generator

FOLDER = "speech_commands"

MINI_WORDS = ("down", "go", "left", "no", "right", "stop", "up", "yes")
MINI_SPEAKERS = {"train": 24, "dev": 6, "test": 8}
MINI_TWICE = 2
"""Words that a speaker says a second time."""


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini Speech Commands at `root`: eight words, 240 clips to train, 60 to choose, 80 to test.

    Each speaker belongs to one split, says every word and two of them twice.
    One clip in six is cut shorter than a second, as some of the corpus are.
    """
    splits = [split for split, count in MINI_SPEAKERS.items() for _ in range(count)]
    cast = voices.cast(voices.STANDARD, len(splits), seed, "speech_commands")
    lists: dict[str, list[str]] = {split: [] for split in MINI_SPEAKERS}
    spoken_by, jobs = {}, []
    for number, (split, speaker) in enumerate(zip(splits, cast, strict=True)):
        random = generator(seed, "speech_commands", "speaker", number)
        name = f"{int(random.integers(1 << 32)):08x}"
        spoken_by[f"{name} ({speaker.description})"] = speaker.accent
        twice = random.choice(MINI_WORDS, size=MINI_TWICE, replace=False)
        for word in MINI_WORDS:
            for take in range(1 + (word in twice)):
                lists[split].append(f"{word}/{name}_nohash_{take}.wav")
                jobs.append(speaker.take(word, random))
    with download.whole_folder(root) as folder:
        paths = [path for own in lists.values() for path in own]
        for path, samples in zip(paths, speak(jobs, RATE), strict=True):
            audio = voices.as_audio(_clip(samples, seed, path), seed, "speech_commands", path)
            write_audio(folder / path, audio, RATE, subtype="PCM_16")
        for split, file in LISTS.items():
            write_lines(folder / file, lists[split])
        for kind, name in (("coloured", "pink_noise"), ("clicks", "running_tap")):
            sound = noise.noise(kind, 20.3, RATE, seed, "speech_commands", name)
            path = folder / "_background_noise_" / f"{name}.wav"
            write_audio(path, as_int16(sound), RATE, subtype="PCM_16")
        others = ("README.md", "LICENSE", "_background_noise_/README.md", ".DS_Store")
        voices.write_note(folder, "Speech Commands", spoken_by, others=others)


def _clip(samples: np.ndarray, *names: object) -> np.ndarray:
    """The word somewhere within a second, or less."""
    random = generator("speech_commands", "clip", *names)
    word = voices.trimmed(samples)[:RATE]
    length = RATE if random.random() > 1 / 6 else int(random.integers(max(len(word), RATE // 2), RATE + 1))
    before = int(random.integers(length - len(word) + 1))
    return np.pad(word, (before, length - len(word) - before))
