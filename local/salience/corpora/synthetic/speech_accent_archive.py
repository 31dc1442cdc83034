"""A mini Speech Accent Archive in either layout."""

from collections.abc import Mapping
from pathlib import Path

from salience.audio import write_audio
from salience.corpora import digits, download
from salience.corpora.speech_accent_archive import PASSAGES, SPEAKERS
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.espeak import speak
from salience.files import write_lines

FOLDER = "speech_accent_archive"
RATE = 8000
NUMBERS = {"english": 14, "arabic": 12, "spanish": 12, "mandarin": 12, "korean": 4, "portuguese": 4}
HEADER = "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,"
MISSING = '24,12,"koussi, senegal",balanta,balanta,male,788,senegal,TRUE,,,'


def synthesise(root: Path, seed: int = 0, numbers: Mapping[str, int] = NUMBERS, with_table: bool = False) -> None:
    """Write a mini Archive at `root`: some first languages, everybody says the same digits, copies at 8 kHz.

    `numbers` are the speakers of each first language.

    As folders of .wav, or `with_table` as .mp3 beside speakers_all.csv, which
    has a row without a recording.
    """
    people = [
        (language, number, speaker)
        for language, count in numbers.items()
        for number, speaker in enumerate(
            voices.cast([voices.ARCHIVE[language]], count, seed, "archive", language), start=1
        )
    ]
    passage = next(digits.digit_strings(digits.TEST, seed, "archive", min_words=8, max_words=8))
    rows = [MISSING]
    with download.whole_folder(root) as folder:
        spoken = speak((speaker.line(passage) for _, _, speaker in people), RATE)
        for (language, number, speaker), samples in zip(people, spoken, strict=True):
            name = f"{language}{number}.mp3" if with_table else f"{language}/{language}_{number:03d}.wav"
            path = folder / "recordings" / name
            write_audio(path, voices.as_audio(samples, seed, "archive", language, number), RATE)
            sex = {"m": "male", "f": "female"}[speaker.gender]
            rows.append(f'30,10,"a town, a country",{language}{number},{language},{sex},{len(rows)},x,FALSE,,,')
        write_lines(folder / PASSAGES[with_table], [f"{passage.capitalize()}."])
        if with_table:
            write_lines(folder / SPEAKERS, [HEADER, *rows])
        voices.write_note(folder, "the Speech Accent Archive", voices.ARCHIVE)
