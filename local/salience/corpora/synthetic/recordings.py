"""Synthetic long recordings, as a collection starts from: speakers, pauses, music, noise; and the truth of them.

On disk: `<root>/audio/<accent>/<name>` in several formats, and
`<root>/reference.tsv` with each utterance's time, speaker and text, and the
times with music.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.synthetic import noise, persian, voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_lines
from salience.randomness import generator

RATE = 22050
"""What espeak-ng speaks at; a file's own rate is made of it at the end."""

FORMATS = (("wav", 44100, 2), ("mp3", 32000, 1), ("flac", 48000, 1), ("ogg", 16000, 1))
"""Ending, rate and channels, in turn."""

LEVEL = -23.0
"""Of each sentence, in dB (rms, full scale)."""
FLOOR = -58.0
"""Of the noise of the room."""
REFERENCE = "reference.tsv"
MUSIC = "(music)"
FOLDER = "recordings"


@dataclass
class _Scene:
    """A recording in the making: pieces of sound in their order, and lines of the reference."""

    pieces: list[np.ndarray] = field(default_factory=list)
    length: int = 0
    lines: list[tuple[float, float, str, str]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds so far."""
        return self.length / RATE

    def add(self, sound: np.ndarray) -> None:
        """Go on with `sound`."""
        self.pieces.append(sound.astype(np.float32))
        self.length += len(sound)

    def pause(self, seconds: float) -> None:
        """Go on with silence."""
        self.add(np.zeros(round(seconds * RATE)))


@dataclass(frozen=True)
class _Turn:
    """Sentences of speaker 0 or 1, over nothing, `music` or `noise`; or music alone, without sentences."""

    speaker: int
    sentences: int
    over: str = ""


def _script(number: int) -> list[_Turn]:
    """What happens in the `number`-th recording: somebody speaks over music in each second one."""
    opening = [_Turn(0, 7), _Turn(1, 3)]
    middle = [_Turn(0, 0, "music"), _Turn(0, 3)] if number % 2 == 0 else [_Turn(1, 3, "music"), _Turn(0, 3)]
    return [*opening, *middle, _Turn(1, 4), _Turn(0, 2, "noise"), _Turn(1, 3)]


def synthesise(root: Path, seed: int = 0, seen: int = 4, unseen: int = 2) -> None:
    """Write mini recordings at `root`: so many of each accent that is trained with, and of each that is only tested.

    In one of the accents lie also silence, music without speech, a file of
    zero length, and one that is no recording.
    """
    sizes = [(label, accent, seen) for label, accent in persian.SEEN.items()]
    sizes += [(label, accent, unseen) for label, accent in persian.UNSEEN.items()]
    plans = [(label, accent, number) for label, accent, count in sizes for number in range(count)]
    casts = {(label, number): _pair(accent, label, number, seed) for label, accent, number in plans}
    texts = persian.sentences(digits.TEST, seed, "recordings")
    said = [
        (label, number, turn.speaker, next(texts))
        for count, (label, _, number) in enumerate(plans)
        for turn in _script(count)
        for _ in range(turn.sentences)
    ]
    spoken = speak([casts[label, number][who].line(text) for label, number, who, text in said], RATE)
    words = iter([text for *_, text in said])
    rows = []
    with download.whole_folder(root) as folder:
        for count, (label, _, number) in enumerate(plans):
            scene = _record(_script(count), spoken, words, seed, label, number)
            ending, rate, channels = FORMATS[count % len(FORMATS)]
            path = folder / "audio" / label / f"programme{number}.{ending}"
            _write(path, scene, rate, channels, seed)
            for start, end, speaker, text in scene.lines:
                name = speaker if speaker == MUSIC else f"{label}-{number}-{speaker}"
                rows.append(f"{label}-{path.stem}\t{start:.3f}\t{end:.3f}\t{name}\t{text}")
        _write_useless(folder / "audio" / next(iter(persian.SEEN)), seed)
        write_lines(folder / REFERENCE, ["recording\tstart\tend\tspeaker\ttext", *rows])
        voices.write_note(folder, "broadcast", persian.SEEN, persian.UNSEEN)


def _pair(accent: voices.AccentVoice, label: str, number: int, seed: int) -> list[voices.Speaker]:
    """A woman and a man, in an order that is drawn."""
    people = [
        voices.cast([accent], 1, seed, "recordings", label, number, gender, variants={
            name: own for name, own in voices.MINI_VARIANTS.items() if own == gender
        })[0]
        for gender in "fm"
    ]  # fmt: skip
    return people if generator(seed, "order", label, number).random() < 0.5 else people[::-1]


def _record(
    script: list[_Turn], spoken: Iterator[np.ndarray], words: Iterator[str], seed: int, *names: object
) -> _Scene:
    random = generator(seed, "recordings", "scene", *names)
    scene = _Scene()
    scene.pause(1.0)
    for number, turn in enumerate(script):
        part = _Scene()
        part.pause(0.8 if turn.over else 0.0)
        for sentence in range(turn.sentences):
            sound = voices.trimmed(next(spoken))
            start = part.now
            part.add(sound * 10 ** (LEVEL / 20) / np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
            part.lines.append((start, part.now, str(turn.speaker), next(words)))
            if sentence + 1 < turn.sentences:
                part.pause(random.uniform(0.35, 0.8))
        part.pause(0.8 if turn.over else 0.0)
        if not turn.sentences:
            part.pause(5.0)
        offset = scene.now
        sound = np.concatenate(part.pieces)
        if turn.over == "music":
            level = LEVEL if not turn.sentences else LEVEL - 4
            sound = sound + music(part.now, level, seed, *names, number)[: len(sound)]
            scene.lines.append((offset, offset + part.now, MUSIC, ""))
        elif turn.over == "noise":
            hiss = noise.noise("coloured", part.now, RATE, seed, *names)[: len(sound)]
            sound = sound + hiss * 10 ** ((LEVEL - 3) / 20) / np.sqrt(np.mean(np.square(hiss)))
        scene.add(sound)
        scene.lines += [(offset + start, offset + end, who, text) for start, end, who, text in part.lines]
        scene.pause(random.uniform(0.5, 1.1))
    return scene


def music(seconds: float, level: float, *names: object) -> np.ndarray:
    """Broken chords of a plucked instrument at RATE, `level` dB (rms, full scale); float (samples,)."""
    random = generator("music", *names)
    held = np.arange(2 * RATE) / RATE
    sound = np.zeros(round(seconds * RATE) + len(held))
    for start in np.arange(0, seconds, 0.4):
        root = 196 * 2 ** (random.choice([0, 2, 4, 5, 7, 9]) / 12)
        first = round(start * RATE)
        for interval in (1, 5 / 4, 3 / 2):
            for harmonic in range(1, 9):
                tone = np.sin(2 * np.pi * (root * interval * harmonic * held + random.random()))
                sound[first : first + len(held)] += tone / harmonic * np.exp(-2 * held)
    sound = sound[: round(seconds * RATE)]
    return sound * 10 ** (level / 20) / np.sqrt(np.mean(np.square(sound)))


def _write(path: Path, scene: _Scene, rate: int, channels: int, seed: int) -> None:
    sound = np.concatenate(scene.pieces)
    room = generator(seed, "room", path.parent.name, path.name).standard_normal(len(sound), dtype=np.float32)
    sound = soxr.resample(sound + 10 ** (FLOOR / 20) * room, RATE, rate)
    if channels == 2:
        sound = np.stack([sound, 0.7 * sound], axis=1)
    write_audio(path, np.clip(sound, -1, 1), rate)


def _write_useless(folder: Path, seed: int) -> None:
    """What every folder of downloads holds some of."""
    room = generator(seed, "silence").standard_normal(10 * RATE, dtype=np.float32)
    write_audio(folder / "silence.wav", 10 ** (FLOOR / 20) * room, RATE)
    write_audio(folder / "jingle.wav", music(10.0, LEVEL, seed, "jingle"), RATE)
    (folder / "empty.wav").touch()
    (folder / "page.mp3").write_text("<html>There was to be a recording here.</html>\n", encoding="utf-8")
