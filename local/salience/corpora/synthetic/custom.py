"""A mini corpus of somebody's own, in the three formats that egs/custom reads."""

import csv
import json
from pathlib import Path

import numpy as np

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak

FOLDER = "custom"
RATE = 16000
PLAN = {
    "train": (("american", "spanish"), 5, 6),
    "seen": (("american", "spanish"), 2, 4),
    "unseen": (("korean",), 3, 4),
}
"""Part to accents, speakers of each, and utterances of each speaker."""
VOICES = {"american": voices.ARCHIVE["english"], **{name: voices.ARCHIVE[name] for name in ("spanish", "korean")}}


def synthesise(root: Path, seed: int = 0) -> None:
    """Write `train`, a data directory whose recordings hold a speaker each, seen.csv, and `unseen`, lhotse manifests.

    Paths of audio are relative to `root`.
    """
    said = []
    for part, (accents, people, each) in PLAN.items():
        texts = digits.digit_strings(digits.TRAIN if part == "train" else digits.TEST, seed, "custom", part)
        for accent in accents:
            for number, speaker in enumerate(voices.cast([VOICES[accent]], people, seed, "custom", part, accent), 1):
                name = f"{accent}{number}" if part == "train" else f"{accent}{number}{part}"
                said += [(part, accent, name, f"{name}-{take}", speaker, next(texts)) for take in range(each)]
    spoken = speak((speaker.line(text) for *_, speaker, text in said), RATE)
    with download.whole_folder(Path(root)) as folder:
        (folder / "audio").mkdir()
        rows: dict[str, list[tuple[str, str, str, str, np.ndarray]]] = {part: [] for part in PLAN}
        for (part, accent, name, key, _, text), samples in zip(said, spoken, strict=True):
            rows[part].append((key, name, accent, text, voices.as_audio(samples, seed, "custom", key)))
        _data_dir(folder, rows["train"])
        _table(folder, rows["seen"])
        _manifests(folder, rows["unseen"])
        voices.write_note(folder, "a corpus of yours", VOICES)


def _data_dir(folder: Path, rows: list[tuple[str, str, str, str, np.ndarray]]) -> None:
    tables: dict[str, list[str]] = {name: [] for name in ("wav.scp", "segments", "text", "utt2spk", "utt2accent")}
    for speaker in dict.fromkeys(row[1] for row in rows):
        own = [row for row in rows if row[1] == speaker]
        ends = np.cumsum([len(row[-1]) for row in own]) / RATE
        write_audio(folder / "audio" / f"{speaker}.flac", np.concatenate([row[-1] for row in own]), RATE)
        tables["wav.scp"].append(f"{speaker} audio/{speaker}.flac\n")
        for (key, _, accent, text, samples), end in zip(own, ends, strict=True):
            tables["segments"].append(f"{key} {speaker} {end - len(samples) / RATE:.3f} {end:.3f}\n")
            tables["text"].append(f"{key} {text}\n")
            tables["utt2spk"].append(f"{key} {speaker}\n")
            tables["utt2accent"].append(f"{key} {accent}\n")
    (folder / "train").mkdir()
    for name, lines in tables.items():
        (folder / "train" / name).write_text("".join(sorted(lines)), encoding="utf-8")


def _table(folder: Path, rows: list[tuple[str, str, str, str, np.ndarray]]) -> None:
    with open(folder / "seen.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("path", "speaker", "accent", "text"))
        for key, speaker, accent, text, samples in rows:
            write_audio(folder / "audio" / f"{key}.flac", samples, RATE)
            writer.writerow((f"audio/{key}.flac", speaker, accent, f"{text.capitalize()}."))


def _manifests(folder: Path, rows: list[tuple[str, str, str, str, np.ndarray]]) -> None:
    recordings, supervisions = [], []
    for key, speaker, accent, text, samples in rows:
        path, seconds = f"audio/{key}.flac", len(samples) / RATE
        write_audio(folder / path, samples, RATE)
        sources = [{"type": "file", "channels": [0], "source": path}]
        recordings.append({
            "id": key, "sources": sources, "sampling_rate": RATE, "num_samples": len(samples), "duration": seconds,
        })  # fmt: skip
        supervisions.append({
            "id": key, "recording_id": key, "start": 0.0, "duration": seconds, "channel": 0, "text": text,
            "speaker": speaker, "custom": {"accent": accent},
        })  # fmt: skip
    (folder / "unseen").mkdir()
    for name, objects in (("recordings", recordings), ("supervisions", supervisions)):
        lines = "".join(f"{json.dumps(each)}\n" for each in objects)
        (folder / "unseen" / f"mini_{name}_unseen.jsonl").write_text(lines, encoding="utf-8")
