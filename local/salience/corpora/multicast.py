"""Multi-CAST narratives as the collection's recordings: long unsegmented speech with timed utterances.

On disk (a CLDF release of https://multicast.aspra.uni-bamberg.de): `texts.csv`
with a line a narrative, `utterances.csv` with a line an utterance, times in
milliseconds, and `audio/*_<text>.mp3` or `.wav`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from salience.corpora.labels import rows_of
from salience.errors import InputError
from salience.files import visible

TEXTS = ("ID", "Speaker")
UTTERANCES = ("ID", "Text_ID", "Primary_Text", "Audio_Start", "Audio_End")
"""The columns that are read of each table."""


@dataclass(frozen=True)
class Timed:
    """One utterance: its narrative, seconds, speaker, and transliteration in Latin letters."""

    text_id: str
    start: float
    end: float
    speaker: str
    transliteration: str


def audio_files(root: Path) -> dict[str, Path]:
    """Narrative id to its recording, for those of `texts.csv` whose recording is there."""
    files = [path for path in visible((root / "audio").glob("*")) if path.suffix.lower() in (".mp3", ".wav")]
    found = {}
    for _, row in rows_of(root / "texts.csv", TEXTS, commas=True):
        own = [path for path in files if path.stem.endswith(f"_{row['ID']}") or path.stem == row["ID"]]
        if own:
            found[row["ID"]] = own[0]
    if not found:
        raise InputError(
            f"{root}/audio holds no recording of the narratives in {root}/texts.csv; unpack the corpus again"
        )
    return found


def utterances(root: Path) -> Iterator[Timed]:
    """The timed utterances of all narratives, in the order of the table."""
    speakers = {row["ID"]: row["Speaker"] for _, row in rows_of(root / "texts.csv", TEXTS, commas=True)}
    path = root / "utterances.csv"
    for _, row in rows_of(path, UTTERANCES, commas=True):
        if row["Text_ID"] not in speakers:
            raise InputError(
                f"{path}: {row['ID']} belongs to {row['Text_ID']}, which texts.csv lacks; unpack the corpus again"
            )
        try:
            start, end = float(row["Audio_Start"]) / 1000, float(row["Audio_End"]) / 1000
        except ValueError:
            raise InputError(f"{path}: {row['ID']} has no time in milliseconds; unpack the corpus again") from None
        yield Timed(row["Text_ID"], start, end, speakers[row["Text_ID"]], row["Primary_Text"])
