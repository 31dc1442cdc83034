"""Multi-CAST narratives as the collection's recordings: long unsegmented speech with timed utterances.

On disk (a CLDF release of https://multicast.aspra.uni-bamberg.de): `texts.csv`
with a line a narrative, `utterances.csv` with a line an utterance, times in
milliseconds, and `audio/*_<text>.mp3` or `.wav`.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from salience.errors import InputError
from salience.files import visible


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
    root = Path(root)
    files = [path for path in visible((root / "audio").glob("*")) if path.suffix.lower() in (".mp3", ".wav")]
    found = {}
    for row in _rows(root / "texts.csv", ("ID", "Speaker")):
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
    root = Path(root)
    speakers = {row["ID"]: row["Speaker"] for row in _rows(root / "texts.csv", ("ID", "Speaker"))}
    path = root / "utterances.csv"
    for row in _rows(path, ("ID", "Text_ID", "Primary_Text", "Audio_Start", "Audio_End")):
        if row["Text_ID"] not in speakers:
            raise InputError(
                f"{path}: {row['ID']} belongs to {row['Text_ID']}, which texts.csv lacks; unpack the corpus again"
            )
        try:
            start, end = float(row["Audio_Start"]) / 1000, float(row["Audio_End"]) / 1000
        except ValueError:
            raise InputError(f"{path}: {row['ID']} has no time in milliseconds; unpack the corpus again") from None
        yield Timed(row["Text_ID"], start, end, speakers[row["Text_ID"]], row["Primary_Text"])


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path} is missing; give the folder of a Multi-CAST corpus")
    with open(path, encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path} has no column {missing[0]}; unpack the corpus again")
        return list(reader)
