"""Free Spoken Digit Dataset: real single digits (CC BY-SA 4.0).

From https://github.com/Jakobovski/free-spoken-digit-dataset.

On disk: `<root>/metadata.py`, a Python dictionary of speakers, and
`<root>/recordings/<digit>_<speaker>_<index>.wav`, 8 kHz.  `join` makes strings
of them, so that a word error rate means something.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from salience.audio import as_int16, read_audio, write_audio
from salience.corpora import digits, download
from salience.corpora.clips import BadClips, mono_duration
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import foreign, visible
from salience.randomness import generator

CORPUS = download.Corpus("fsdd", "fsdd", ("metadata.py", "recordings/"), download.release("fsdd"))
find_root, fetch = CORPUS.find_root, CORPUS.fetch

ACCENTS = {"USA/neutral": "us", "DEU/German": "german", "BEL/French": "french", "GRC/Greek": "greek"}
"""Accent as `metadata.py` writes it, to our label; by exact match."""

RATE = 8000
NAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]+)\.wav")


def speakers(root: Path) -> dict[str, dict[str, str]]:
    """Speaker to the fields of `metadata.py`: `gender`, `accent` (as written there), `language`.

    The file is Python; its one assignment is read as a literal and nothing in
    it is run.
    """
    path = root / "metadata.py"
    remedy = "unpack the corpus again"
    with foreign(path, "does not assign a plain dictionary to `metadata`", remedy, remedy):
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        values = [
            statement.value
            for statement in statements
            if isinstance(statement, ast.Assign)
            and [target.id for target in statement.targets if isinstance(target, ast.Name)] == ["metadata"]
        ]
        found = ast.literal_eval(values[0])
        return {str(name): {str(k): str(v) for k, v in fields.items()} for name, fields in found.items()}


def utterances(root: Path, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The single digits, sorted by speaker, digit and index.

    The id is `<speaker>-<digit>-<index>`; `split` is the corpus' own: `test`
    for index 0 to 4, else `train`.  `accent` is None where ACCENTS lacks what
    the metadata says.  A speaker without metadata is an InputError.  Bad
    audio is left to `bad`; without it, that is an InputError, too.
    """
    root, bad = find_root(root), bad or BadClips()
    known = speakers(root)
    found = {}
    for path in visible((root / "recordings").glob("*.wav")):
        parts = NAME.fullmatch(path.name)
        if parts is None:
            raise InputError(f"{path} is not named <digit>_<speaker>_<index>.wav; rename or remove it")
        digit, speaker, index = int(parts[1]), parts[2], int(parts[3])
        if speaker not in known:
            raise InputError(
                f"{root / 'metadata.py'} says nothing of {speaker}, who speaks {path.name}; add the speaker"
            )
        about = known[speaker]
        found[speaker, digit, index, path] = Utterance.file(
            f"{speaker}-{digit}-{index:02d}", speaker, path, digits.DIGITS[digit],
            accent=ACCENTS.get(about.get("accent", "")),
            gender={"male": "m", "female": "f"}.get(about.get("gender", "")),
            split="test" if index < 5 else "train", language="en",
        )  # fmt: skip
    if not found:
        raise InputError(f"{root / 'recordings'} holds no .wav file; unpack the corpus again")
    yield from bad.usable([found[key] for key in sorted(found)], measure=partial(mono_duration, rate=RATE))


def index_of(utterance: Utterance) -> int:
    """The index of a single digit's recording, from its id."""
    return int(utterance.id.rsplit("-", 1)[1])


@dataclass(frozen=True)
class DigitString:
    """Single digits of one speaker to be joined; `gaps` are the seconds of silence between them."""

    id: str
    digits: tuple[Utterance, ...]
    gaps: tuple[float, ...]

    @property
    def text(self) -> str:
        """The words, lower case."""
        return " ".join(digit.text for digit in self.digits)


def draw_strings(
    digits: Sequence[Utterance], name: str, passes: int, seed: int, kind: int, min_digits: int = 3, max_digits: int = 5
) -> list[DigitString]:
    """Strings of one speaker's `digits`: in each of `passes`, each recording stands at most once.

    Lengths are even between `min_digits` and `max_digits`, gaps between 50 and
    150 ms.  `kind` is the sentence set the strings are from (digits.TRAIN, DEV,
    TEST), so training and test share no sentence.  The ids are
    `<speaker>-<name>-<nnnn>`.  The few recordings left over at the end of a
    pass are not used.
    """
    ordered = sorted(digits, key=lambda digit: digit.id)
    strings: list[DigitString] = []
    for number in range(passes):
        random = generator(seed, ordered[0].speaker, name, number)
        left = list(ordered)
        while len(left) >= min_digits:
            length = min(int(random.integers(min_digits, max_digits + 1)), len(left))
            chosen = _choose(left, length, kind, random)
            if chosen is None:
                break
            used = {digit.id for digit in chosen}
            left = [digit for digit in left if digit.id not in used]
            gaps = tuple(round(float(gap), 4) for gap in random.uniform(0.05, 0.15, size=length - 1))
            strings.append(DigitString(f"{ordered[0].speaker}-{name}-{len(strings):04d}", chosen, gaps))
    return strings


def _choose(left: list[Utterance], length: int, kind: int, random: np.random.Generator) -> tuple[Utterance, ...] | None:
    for _ in range(50):
        chosen = tuple(left[i] for i in random.choice(len(left), size=length, replace=False))
        if digits.sentence_set(" ".join(digit.text for digit in chosen)) == kind:
            return chosen
    return None


def join(string: DigitString, folder: Path) -> Utterance:
    """Write the joined audio as `folder`/<id>.wav (8 kHz, 16 bit) and return its record."""
    pieces = []
    for digit, gap in zip(string.digits, (*string.gaps, 0.0), strict=True):
        samples = as_int16(read_audio(digit.audio, RATE))
        pieces += [samples, np.zeros(round(gap * RATE), dtype=np.int16)]
    joined = np.concatenate(pieces)
    path = folder / f"{string.id}.wav"
    write_audio(path, joined, RATE, subtype="PCM_16")
    first, seconds = string.digits[0], len(joined) / RATE
    return replace(first, id=string.id, audio=path, text=string.text, duration=seconds, recording=string.id, split=None)


SHARES = {"train": (10, sys.maxsize, digits.TRAIN), "dev": (5, 9, digits.DEV), "test": (0, 4, digits.TEST)}
"""First and last index of the recordings of each share, and the sentence set of their strings."""


def fold(
    found: Sequence[Utterance], unseen: str, passes: Mapping[str, int], folder: Path, seed: int
) -> dict[str, list[Utterance]]:
    """Join single digits to the strings train, dev, test and unseen, each in its folder below `folder`.

    The speakers of the accent `unseen` are in that share alone, with all their
    recordings.  `passes` is the share to how often each recording is used.
    """
    made: dict[str, list[Utterance]] = {name: [] for name in (*SHARES, "unseen")}
    for speaker in sorted({digit.speaker for digit in found if digit.accent}):
        own = [digit for digit in found if digit.speaker == speaker]
        shares = {"unseen": (0, sys.maxsize, digits.TEST)} if own[0].accent == unseen else SHARES
        for name, (first, last, sentences) in shares.items():
            taken = [digit for digit in own if first <= index_of(digit) <= last]
            if taken:
                strings = draw_strings(taken, name, passes[name], seed, sentences)
                made[name] += [join(string, folder / name) for string in strings]
    return made
