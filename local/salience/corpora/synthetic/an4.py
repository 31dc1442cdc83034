"""A mini AN4 in sphere format."""

from pathlib import Path

import numpy as np

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.an4 import RATE
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_lines
from salience.randomness import generator

FOLDER = "an4"

_LETTERS = {"a": "ay", "e": "ee", "m": "em", "o": "oh", "r": "are", "s": "ess"}
"""As espeak-ng must read them: it would say an article, and run others together."""

MINI_VOICES = tuple(voices.AccentVoice(voice.name, voice.is_really, _LETTERS) for voice in voices.STANDARD)
MINI_SPEAKERS = {"train": ("and", "bel", "cor", "cor2", "dun", "eva", "fin", "gil"), "test": ("hol", "kim2", "lux")}
"""What follows the letter of the gender in a speaker's name."""

_DIGITS = tuple(digit.upper() for digit in digits.DIGITS[1:7])
_SPELLED = ("A M E S", "E M M A", "M A R S", "R O M E O", "R O S E", "S A M")
MINI_TASKS = {
    "command": ((("GO", "HELP", "NO", "STOP", "YES"), 1, 1),),
    "enter": ((("ENTER",), 1, 1), (_DIGITS, 1, 2)),
    "erase": ((("ERASE",), 1, 1), (tuple(letter.upper() for letter in _LETTERS), 2, 3), (_DIGITS, 1, 2)),
    "spelled": ((_SPELLED, 1, 1),),
    "number": ((_DIGITS, 2, 5),),
}
"""What a speaker is asked to say: parts, each some words (from, to) of a list."""

MINI_SHEET = (
    "command", "command", "enter", "erase", "erase",
    "spelled", "spelled", "number", "spelled", "spelled", "number", "number",
)  # fmt: skip
"""The tasks of one speaker, as in the corpus: five called an, the others cen1, cen2 and so on."""


def synthesise(root: Path, seed: int = 0, test: int = 16) -> None:
    """Write a mini AN4 in sphere format at `root`.

    Eight speakers say a sheet of twelve sentences each for training, three
    others `test` sentences together.  Nineteen letters of the alphabet occur.
    """
    names = [(split, name) for split, own in MINI_SPEAKERS.items() for name in own]
    cast = voices.cast(MINI_VOICES, len(names), seed, "an4")
    speakers = [f"{speaker.gender}{name}" for speaker, (_, name) in zip(cast, names, strict=True)]
    lists: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    jobs = []
    left = test
    for number, ((split, _), name, speaker) in enumerate(zip(names, speakers, cast, strict=True)):
        random = generator(seed, "an4", "sheet", name)
        sheet = range(len(MINI_SHEET))
        if split == "test":
            # Shared evenly among those still to come.
            count = -(-left // (len(names) - number))
            left -= count
            sheet = sorted(int(place) for place in random.permutation(len(MINI_SHEET))[:count])
        for place in sheet:
            task = MINI_SHEET[place]
            words = [
                str(word)
                for choice, fewest, most in MINI_TASKS[task]
                for word in random.choice(choice, size=int(random.integers(fewest, most + 1)))
            ]
            sentence = f"an{20 * number + place + 1}" if place < 5 else f"cen{place - 4}"
            folder = "an4_clstk" if split == "train" else "an4test_clstk"
            lists[split].append((f"{folder}/{name}/{sentence}-{name}-b", " ".join(words)))
            spelled, voice = speaker.line(" ".join(words))
            # Who spells or counts pauses between the words.
            jobs.append((spelled.replace(" ", ", "), voice))
    with download.whole_folder(root) as folder:
        for split, own in lists.items():
            begin, end = ("<s> ", " </s>") if split == "train" else ("", "")
            write_lines(folder / "etc" / f"an4_{split}.fileids", (path for path, _ in own))
            lines = (f"{begin}{text}{end} ({Path(path).name})" for path, text in own)
            write_lines(folder / "etc" / f"an4_{split}.transcription", lines)
        spoken = speak(jobs, RATE)
        for (path, _), samples in zip((*lists["train"], *lists["test"]), spoken, strict=True):
            audio = voices.as_audio(_with_silence(samples, seed, path), seed, "an4", path)
            write_audio(folder / "wav" / f"{path}.sph", audio, RATE, subtype="PCM_16", format="NIST")
        spoken_by = {
            f"{name} ({speaker.description})": speaker.accent for name, speaker in zip(speakers, cast, strict=True)
        }
        voices.write_note(folder, "AN4", spoken_by, others=["README"])


def _with_silence(samples: np.ndarray, *names: object) -> np.ndarray:
    """Silence around it, as before and after the button is pressed; at least 1.5 s in all."""
    before, after = generator("an4", "silence", *names).integers(RATE // 5, 2 * RATE // 5, size=2)
    after = max(int(after), 3 * RATE // 2 - len(samples) - int(before))
    return np.pad(samples, (int(before), after))
