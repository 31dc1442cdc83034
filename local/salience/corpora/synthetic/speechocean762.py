"""A mini speechocean762."""

from pathlib import Path

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.speechocean762 import SCORES
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_json, write_lines
from salience.randomness import generator

FOLDER = "speechocean762"
PLAN = {"train": (4, 2), "test": (8, 3)}
"""Part to speakers, every second of them a child, and utterances of each."""


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini speechocean762 at `root`: Mandarin voices, the tables partly separated by tabs, scores."""
    accent = voices.ARCHIVE["mandarin"]
    cast = iter(voices.cast([accent], sum(people for people, _ in PLAN.values()), seed, "speechocean"))
    texts = digits.digit_strings(digits.TEST, seed, "speechocean")
    number, judged = 0, {}
    with download.whole_folder(root) as folder:
        for part, (people, each) in PLAN.items():
            tables: dict[str, list[str]] = {
                name: [] for name in ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")
            }
            said = []
            for place in range(people):
                number += 1
                speaker, name = next(cast), f"{number:04d}"
                tables["spk2age"].append(f"{name}\t{20 + place if place % 2 else 6 + place}")
                tables["spk2gender"].append(f"{name}\t{speaker.gender}")
                said += [(name, f"{name}{take:05d}", speaker, next(texts)) for take in range(1, each + 1)]
            spoken = speak(speaker.line(text) for _, _, speaker, text in said)
            for (name, key, _, text), samples in zip(said, spoken, strict=True):
                path = Path("WAVE") / f"SPEAKER{name}" / f"{key}.WAV"
                write_audio(folder / path, voices.as_audio(samples, seed, key), 16000)
                tables["wav.scp"].append(f"{key}\t{path}")
                tables["text"].append(f"{key}\t{text.upper()}")
                tables["utt2spk"].append(f"{key} {name}")
                judged[key] = {"text": text.upper(), "total": int(generator(seed, "score", key).integers(3, 11))}
            for name, lines in tables.items():
                write_lines(folder / part / name, lines)
        write_json(folder / SCORES, judged)
        voices.write_note(folder, "speechocean762", {"Mandarin": accent}, others=["README.md"])
