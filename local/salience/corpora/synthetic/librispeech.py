"""A mini LibriSpeech of standard American voices, and a larger one to train the mini Whisper on."""

from pathlib import Path

import soxr

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_lines

FOLDER = "LibriSpeech"


def synthesise(
    root: Path,
    seed: int = 0,
    train: tuple[int, int] = (10, 24),
    dev: tuple[int, int] = (4, 10),
    test: tuple[int, int] = (6, 10),
) -> None:
    """Write a mini LibriSpeech of standard American voices at `root`.

    Sizes are (readers, utterances of each); the parts are train-clean-100,
    dev-clean and test-clean.
    """
    plan = {
        "train-clean-100": (*train, digits.TRAIN),
        "dev-clean": (*dev, digits.DEV),
        "test-clean": (*test, digits.TEST),
    }
    count = train[0] + dev[0] + test[0]
    # Reader 60 is there for its name: in the real SPEAKERS.TXT it is "|CBW|Simon".
    readers = [60, *range(1001, 1000 + count)]
    _write(root, seed, plan, readers, voices.MINI_VARIANTS, "mini")


def synthesise_pretraining(root: Path, seed: int = 0, utterances: int = 3000, readers: int = 40) -> None:
    """Write a LibriSpeech-format corpus to train the mini Whisper on, in train-clean-100 alone.

    Standard American voices as in `synthesise`, but none of its speakers and
    none of its variants.  Every second utterance has pauses between its
    digits, and every second reader sounds as through a telephone (8 kHz):
    real recordings have both, and a model trained without them is lost there.
    """
    plan = {"train-clean-100": (readers, -(-utterances // readers), digits.TRAIN)}
    names = list(range(5001, 5001 + readers))
    _write(root, seed, plan, names, voices.PRETRAINING_VARIANTS, "pretraining", utterances, varied=True)


def _write(
    root: Path,
    seed: int,
    plan: dict[str, tuple[int, int, int]],
    readers: list[int],
    variants: dict[str, str],
    purpose: str,
    limit: int | None = None,
    varied: bool = False,
) -> None:
    cast = voices.cast(voices.STANDARD, len(readers), seed, purpose, variants=variants)
    roles = iter(zip(readers, cast, strict=True))
    # Chapters by their folder; said is chapter, id, speaker, text.
    speaker_rows, chapter_rows, said = [], {}, []
    for part, (people, each, kind) in plan.items():
        texts = digits.digit_strings(kind, seed, purpose, part)
        for reader, speaker in (next(roles) for _ in range(people)):
            name = "|CBW|Simon" if reader == 60 else speaker.description
            speaker_rows.append(
                f"{reader:<4} | {speaker.gender.upper()} | {part:<16} | {each * 2.5 / 60:5.2f} | {name}"
            )
            for number in range(each):
                # Two chapters a reader, as books have them.
                chapter = 100000 + 2 * reader + number * 2 // each
                row = f"{chapter} | {reader:<4} | {each * 1.25 / 60:5.2f} | {part} | 1 | 1 | Digits | Digits"
                chapter_rows[place := f"{part}/{reader}/{chapter}"] = row
                said.append((place, f"{reader}-{chapter}-{number % -(-each // 2):04d}", speaker, next(texts)))
    said = said[:limit]
    with download.whole_folder(root) as folder:
        spoken = speak(
            speaker.line(text.replace(" ", ", ") if varied and number % 2 else text)
            for number, (_, _, speaker, text) in enumerate(said)
        )
        for (place, key, _, text), samples in zip(said, spoken, strict=True):
            recording = voices.as_audio(samples, seed, key)
            if varied and int(key.split("-")[0]) % 2:
                recording = soxr.resample(soxr.resample(recording, 16000, 8000), 8000, 16000)
            write_audio(folder / place / f"{key}.flac", recording, 16000, subtype="PCM_16")
            with open(folder / place / f"{key.rsplit('-', 1)[0]}.trans.txt", "a", encoding="utf-8") as transcript:
                transcript.write(f"{key} {text.upper()}\n")
        explained = "; reader | sex | part | minutes | name (here the espeak-ng voice)"
        header = [explained, ";", ";ID  |SEX| SUBSET           |MINUTES| NAME"]
        write_lines(folder / "SPEAKERS.TXT", header + speaker_rows)
        write_lines(folder / "CHAPTERS.TXT", chapter_rows.values())
        write_lines(folder / "BOOKS.TXT", ["; book | title", "1 | Digits"])
        standard = {f"Standard ({a.name})": a for a in voices.STANDARD}
        voices.write_note(folder, "LibriSpeech", standard, others=["README.TXT", "LICENSE.TXT"])
