"""What two sets share that should tell nothing about each other: speakers, sentences, recordings."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from salience.data.tables import iterate_table, read_speakers

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
    """Audio files of both, or the long recordings that their clips were cut from."""


def speakers_of(folder: Path) -> set[str]:
    """The speakers of a data directory."""
    return set(read_speakers(Path(folder) / "utt2spk").values())


def unknown_speakers(name: str, speakers: Iterable[tuple[str, str]]) -> list[str]:
    """What a report says of a set whose utterances, given with their speakers, do not all tell who speaks.

    As in Kaldi, such an utterance has its own id for its speaker.  Nothing where all tell.
    """
    unknown = [utterance == speaker for utterance, speaker in speakers]
    if not any(unknown):
        return []
    return [
        f"{name}: {sum(unknown)} of {len(unknown)} utterances do not say who speaks; each counts as a speaker of its "
        "own, so speakers that it shares with other sets cannot be found"
    ]


def sentence_key(text: str) -> str:
    """A sentence without what corpora write differently: case and punctuation."""
    return " ".join(re.findall(r"[\w']+", text.casefold()))


def sentences_of(folder: Path, key_of: Callable[[str], str] = sentence_key) -> Counter[str]:
    """Each sentence of a data directory with the number of its utterances; none without `text`."""
    path = Path(folder) / "text"
    if not path.exists():
        return Counter()
    return Counter(key for _, _, value in iterate_table(path) if (key := key_of(value)))


def recordings_of(folder: Path) -> set[str]:
    """What `utt2recording` says clips were cut from; without it, the audio files, or commands, of `wav.scp`, if any."""
    path = Path(folder) / "utt2recording"
    path = path if path.exists() else Path(folder) / "wav.scp"
    return {value for _, _, value in iterate_table(path)} if path.exists() else set()


def overlaps(folders: Iterable[Path], key_of: Callable[[str], str] = sentence_key) -> Iterator[Overlap]:
    """Compare every pair of data directories, in the order given; sentences with the same key are the same."""
    contents = [(Path(f), speakers_of(f), sentences_of(f, key_of), recordings_of(f)) for f in folders]
    for (first, speakers, sentences, audio), (second, speakers2, sentences2, audio2) in combinations(contents, 2):
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
