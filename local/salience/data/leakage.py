"""What two sets share that should tell nothing about each other: speakers, sentences, recordings."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from salience.data.tables import iterate_table

SHOWN = 10
"""So many examples of each kind are named in a report."""


@dataclass(frozen=True)
class Overlap:
    """What a pair of data directories shares."""

    first: Path
    second: Path
    speakers: list[str]
    sentences: dict[str, int]
    """Shared sentence to the number of utterances of `second` that say it."""
    spoken: int
    """Utterances of `second` that have a transcript."""
    recordings: list[str]
    """Audio files of both."""


def speakers_of(folder: Path) -> set[str]:
    """The speakers of a data directory."""
    return {speaker for _, _, speaker in iterate_table(Path(folder) / "utt2spk")}


def sentence_key(text: str) -> str:
    """A sentence without what corpora write differently: case and punctuation."""
    return " ".join(re.findall(r"[\w']+", text.casefold()))


def sentences_of(folder: Path) -> Counter[str]:
    """Each sentence of a data directory with the number of its utterances; none without `text`."""
    path = Path(folder) / "text"
    if not path.exists():
        return Counter()
    return Counter(key for _, _, value in iterate_table(path) if (key := sentence_key(value)))


def recordings_of(folder: Path) -> set[str]:
    """The audio files, or commands, of `wav.scp`; none without it."""
    path = Path(folder) / "wav.scp"
    return {value for _, _, value in iterate_table(path)} if path.exists() else set()


def overlaps(folders: Iterable[Path]) -> Iterator[Overlap]:
    """Compare every pair of data directories, in the order given."""
    contents = [(Path(f), speakers_of(f), sentences_of(f), recordings_of(f)) for f in folders]
    for (first, speakers, sentences, audio), (second, speakers2, sentences2, audio2) in combinations(
        contents, 2
    ):
        yield Overlap(
            first,
            second,
            sorted(speakers & speakers2),
            {sentence: sentences2[sentence] for sentence in sorted(sentences.keys() & sentences2.keys())},
            sentences2.total(),
            sorted(audio & audio2),
        )


def examples(names: Iterable[str]) -> str:
    """The first few of some names, and how many more there are."""
    names = list(names)
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
