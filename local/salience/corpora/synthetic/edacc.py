"""A mini EdAcc: conversations of accented voices, in the layout of v1.0."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.edacc import IGNORED, LONGEST, PARTS
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.files import read_yaml, write_lines
from salience.randomness import generator

FOLDER = "edacc_v1.0"

MINI_ANSWERS, QUESTIONS = read_yaml(Path(__file__).with_name("edacc.yaml"), "restore it").values()
MINI_UNMAPPED = "Mostly American with some Italian"
"""Two labels are inside this answer, and none of them is its label."""

MINI_RATE = 32000


def synthesise(root: Path, seed: int = 0, seen: tuple[int, int] = (20, 8), unseen: tuple[int, int] = (3, 8)) -> None:
    """Write a mini EdAcc v1.0 at `root`, quirks included.

    Sizes are (speakers of each accent, turns of each speaker); `seen` for the
    five accents of voices.EDACC_SEEN, `unseen` for those of EDACC_UNSEEN.  One
    more speaker's accent is unmapped.  Besides its turns every speaker reads a
    control passage and laughs once; one turn lasts over 30 s; one conversation
    is in two parts.
    """
    people: list[tuple[str, voices.Speaker, int]] = []
    for accents, (count, turns) in ((voices.EDACC_SEEN, seen), (voices.EDACC_UNSEEN, unseen)):
        for label, accent in accents.items():
            for number, speaker in enumerate(voices.cast([accent], count, seed, "edacc", label)):
                answers = MINI_ANSWERS[label]
                people.append((answers[number % len(answers)], speaker, turns))
    people.append((MINI_UNMAPPED, voices.cast(voices.STANDARD, 1, seed, "edacc", "unmapped")[0], unseen[1]))
    random = generator(seed, "edacc", "pairs")
    people = [people[i] for i in random.permutation(len(people))]
    conversations = [people[i : i + 2] for i in range(0, len(people), 2)]
    texts = digits.digit_strings(digits.TEST, seed, "edacc")
    with download.whole_folder(root) as folder:
        script = [_conversation(number, pair, texts, seed) for number, pair in enumerate(conversations, 1)]
        spoken = speak([turn.speaker.line(turn.said) for turns in script for turn in turns if turn.said], MINI_RATE)
        rows = []
        for number, (pair, turns) in enumerate(zip(conversations, script, strict=True), 1):
            part = PARTS[number % 2]
            for recording in sorted({turn.recording for turn in turns}):
                _write_recording(folder, part, recording, [t for t in turns if t.recording == recording], spoken, seed)
            for side, (answer, speaker, _) in zip("AB", pair, strict=False):
                rows.append(_questionnaire(f"EDACC-C{number:02d}-{side}", answer, speaker))
        _write_side_files(folder, rows)
        unmapped = {"(unmapped)": voices.STANDARD[0]}
        voices.write_note(folder, "EdAcc", voices.EDACC_SEEN, voices.EDACC_UNSEEN, unmapped, others=["README.txt"])


@dataclass(frozen=True)
class _Turn:
    recording: str
    name: str
    speaker: voices.Speaker
    said: str
    written: str
    control: bool = False
    held: float = 0.0
    """Seconds of silence that belong to the turn: what makes one longer than LONGEST."""


def _conversation(
    number: int, pair: list[tuple[str, voices.Speaker, int]], texts: Iterator[str], seed: int
) -> list[_Turn]:
    random = generator(seed, "edacc", "conversation", number)
    parts = ("_P1", "_P2") if number == 5 else ("",)
    recordings = [f"EDACC-C{number:02d}{part}" for part in parts]
    sides = [(f"EDACC-C{number:02d}-{side}", speaker) for side, (_, speaker, _) in zip("AB", pair, strict=False)]
    turns = []
    for name, speaker in sides:
        words = next(texts)
        # Some passages are marked in `text` as well, some only in `stm`.
        written = IGNORED.upper() if number % 2 else words
        turns.append(_Turn(recordings[0], name, speaker, words, written, control=True))
    for index in range(max(count for _, _, count in pair)):
        for (name, speaker), (_, _, count) in zip(sides, pair, strict=False):
            if index >= count:
                continue
            words = next(texts)
            written = words
            if random.random() < 0.15:
                tag = str(random.choice(["<breath>", "<laugh>", "<lipsmack>"]))
                written = f"{words} {tag}" if random.random() < 0.5 else f"{tag} {words}"
            turns.append(_Turn(recordings[index * len(parts) // count], name, speaker, words, written))
    for name, speaker in sides:
        turns.append(_Turn(recordings[-1], name, speaker, "", "<laugh>"))
    if number == 1:
        name, speaker = sides[0]
        words = next(texts)
        turns.append(_Turn(recordings[-1], name, speaker, words, words, held=LONGEST))
    # In the order of the recordings, as they are spoken.
    return sorted(turns, key=lambda turn: recordings.index(turn.recording))


def _write_recording(
    folder: Path, part: str, recording: str, turns: list[_Turn], spoken: Iterator[np.ndarray], seed: int
) -> None:
    pieces: list[np.ndarray] = []
    at = 0
    lines: dict[str, list[str]] = {name: [] for name in ("segments", "text", "utt2spk", "stm", "stm.filt")}
    for counter, turn in enumerate(turns):
        key = f"{recording}-{counter:09d}"
        random = generator(seed, "pause", key)
        hundredth = MINI_RATE // 100
        pause = int(random.integers(20, 60)) * hundredth
        samples = next(spoken) if turn.said else np.zeros(60 * hundredth, dtype=np.float32)
        held = np.zeros(round(turn.held * MINI_RATE) + -len(samples) % hundredth, dtype=np.float32)
        pieces += [
            voices.as_audio(np.zeros(pause, dtype=np.float32), seed, "pause", key),
            voices.as_audio(np.concatenate([samples, held]), seed, key),
        ]
        start = (at + pause) / MINI_RATE
        at += pause + len(samples) + len(held)
        end = at / MINI_RATE
        lines["segments"].append(f"{key} {recording} {start:.2f} {end:.2f}")
        lines["text"].append(f"{key} {turn.written}")
        lines["utt2spk"].append(f"{key} {turn.name}")
        gender = {"m": "male", "f": "female"}[turn.speaker.gender]
        language = "l1" if turn.speaker.voice.name.startswith(("en", "gmw/en")) else "l2"
        words = IGNORED.upper() if turn.control else turn.written.upper()
        line = f"{recording} 1 {turn.name} {start:.2f} {end:.2f} <{gender},{language}> {words}"
        lines["stm"].append(line)
        if not turn.control:
            lines["stm.filt"].append(line)
    write_audio(folder / "data" / f"{recording}.wav", np.concatenate(pieces), MINI_RATE, subtype="PCM_16")
    (folder / part).mkdir(exist_ok=True)
    for name, rows in {**lines, "conv.list": [recording], "company.ctm": []}.items():
        with open(folder / part / name, "a", encoding="utf-8") as handle:
            handle.writelines(row + "\n" for row in rows)


def _questionnaire(name: str, answer: str, speaker: voices.Speaker) -> list[str]:
    told = {0: name, 5: {"m": "Male", "f": "Female"}[speaker.gender], 12: speaker.accent.is_really, 19: answer}
    return [told.get(column, "NA") for column in range(28)]


def _write_side_files(folder: Path, rows: list[list[str]]) -> None:
    with open(folder / "linguistic_background.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([QUESTIONS.get(column, f"Question {column}") for column in range(28)])
        writer.writerows(rows)
    write_lines(folder / "glm", [";; no rules"])
    write_lines(folder / "evaluate.sh", ["#!/bin/sh", "# The real corpus scores with sclite here."])
