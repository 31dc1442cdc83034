"""A mini Common Voice in English, and how a release of spoken clips is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.common_voice import COLUMNS, COMMON_ACCENT_TABLE, LISTS
from salience.corpora.labels import read_labels
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import Voice, speak
from salience.files import write_lines
from salience.randomness import generator

FOLDER = "cv-corpus-0.0-mini/en"

MINI_RATE = 32000
MINI_FREE_TEXT = "United States English,Midwestern,slightly nasal"
NEW_GENDERS = {"m": "male_masculine", "f": "female_feminine", "": "do_not_wish_to_say"}
"""As written since release 17."""


@dataclass(frozen=True)
class MiniClip:
    """A clip to be spoken: the tables that list it, what to say in which voice, and what its columns say."""

    tables: Sequence[str]
    line: tuple[str, Voice]
    values: Mapping[str, str]


def write_release(
    folder: Path,
    language: str,
    script: Sequence[MiniClip],
    first: int,
    seed: int,
    columns: Sequence[str] = COLUMNS,
    tables: Sequence[str] = (*LISTS, "validated", "other", "invalidated"),
    rate: int = MINI_RATE,
    with_durations: bool = True,
) -> None:
    """Write a release of spoken clips, numbered from `first`, with these tables of these columns."""
    lines = {f"{name}.tsv": ["\t".join(columns)] for name in tables}
    lines |= {"reported.tsv": ["sentence_id\tsentence\tlocale\treason"], "README.md": ["Synthetic; see SYNTHETIC.txt."]}
    lengths = ["clip\tduration[ms]"]
    for number, (clip, samples) in enumerate(zip(script, speak([clip.line for clip in script], rate), strict=True)):
        name = f"common_voice_{language}_{first + number}.mp3"
        audio = voices.as_audio(samples, seed, name)
        write_audio(folder / "clips" / name, audio, rate, format="MP3", subtype="MPEG_LAYER_III")
        lengths.append(f"{name}\t{round(1000 * len(audio) / rate)}")
        values = {
            "path": name, "sentence_id": f"{number:064x}", "age": "twenties", "locale": language,
            "up_votes": "0" if "other" in clip.tables else "2",
            "down_votes": "2" if "invalidated" in clip.tables else "0", **clip.values,
        }  # fmt: skip
        for table in clip.tables:
            lines[f"{table}.tsv"].append("\t".join(values.get(column, "") for column in columns))
    if with_durations:
        lines["clip_durations.tsv"] = lengths
    for name, written in lines.items():
        write_lines(folder / name, written)


def synthesise(root: Path, seed: int = 0, speakers: int = 2, each: int = 4, americans: int = 0) -> None:
    """Write a mini English release at `root` (the folder `en`), in the format of releases since 17.

    Sixteen accents, `speakers` of each, `each` clips of a speaker; one
    speaker whose accent is free text, one who states none; and `americans`
    further ones, to train a recogniser with.
    """
    long_names = {label: text for text, label in read_labels(COMMON_ACCENT_TABLE).items() if text != label}
    people = [
        (long_names[label], speaker)
        for label, accent in voices.COMMON_ACCENT.items()
        for speaker in voices.cast([accent], speakers, seed, "common voice", label)
    ]
    people += zip((MINI_FREE_TEXT, ""), voices.cast(voices.STANDARD, 2, seed, "common voice", "other"), strict=True)
    people += ((long_names["us"], s) for s in voices.cast(voices.STANDARD, americans, seed, "common voice", "more"))
    texts = digits.digit_strings(digits.TEST, seed, "common voice")
    script = []
    for number, (accent, speaker) in enumerate(people):
        for _ in range(each):
            text = next(texts)
            # Sentences are written as in print, and one in a while opens a quotation that never ends.
            sentence = ('"' if len(script) % 10 == 0 else "") + text.capitalize() + "."
            values = {
                "client_id": generator(seed, "client", number).bytes(64).hex(), "sentence": sentence,
                "gender": NEW_GENDERS[speaker.gender], "accents": accent,
            }  # fmt: skip
            script.append(MiniClip(("validated", LISTS[number % 3]), speaker.line(text), values))
    with download.whole_folder(root) as folder:
        write_release(folder, "en", script, 1000, seed)
        others = {MINI_FREE_TEXT: voices.STANDARD[0], "(none)": voices.STANDARD[1]}
        voices.write_note(folder, "Common Voice", voices.COMMON_ACCENT, others)
