"""What two sets share that should tell nothing about each other: speakers, sentences, recordings."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from textwrap import shorten

from salience.data.bidi import isolated
from salience.data.tables import iterate_table, read_speakers

SHOWN = 10
"""At most this many examples of each kind are named in a report."""
LENGTH = 80
"""Characters of a sentence that a report shows."""


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
    return set(read_speakers(folder / "utt2spk").values())


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
    path = folder / "text"
    if not path.exists():
        return Counter()
    return Counter(key for _, _, value in iterate_table(path) if (key := key_of(value)))


def recordings_of(folder: Path) -> set[str]:
    """What `utt2recording` says clips were cut from; without it, the audio files, or commands, of `wav.scp`, if any."""
    path = folder / "utt2recording"
    path = path if path.exists() else folder / "wav.scp"
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


def report(
    kinds: Mapping[Path, str],
    allowed: Collection[str] = (),
    forbid_recordings: bool = False,
    forbid_sentences: Collection[str] = (),
    key_of: Callable[[str], str] = sentence_key,
) -> tuple[str, list[str]]:
    """(report in Markdown, what must not be shared and is, the worst first).

    Args:
        kinds: data directory to train, dev or test; sets of one kind may share anything
        allowed: names of sets that may share speakers with others
        forbid_recordings: shared recordings are a fault, too
        forbid_sentences: names of sets whose sentences in a set of another kind are a fault, too
        key_of: sentences with the same key are the same
    """
    unknown = {
        folder: note
        for folder in kinds
        for note in unknown_speakers(folder.name, (row[1:] for row in iterate_table(folder / "utt2spk")))
    }
    lines = [
        "# What the sets share", "",
        "Speakers must not cross between training, development and test sets.",
        "Sentences are compared without case and punctuation; utterances are the second set's.", "",
        *(line for note in unknown.values() for line in (f"**{note}.**", "")),
    ]  # fmt: skip
    if allowed:
        lines += [
            f"**Shared speakers were allowed for {', '.join(sorted(allowed))}**: scores on these sets "
            "do not show how a system does on new speakers.", "",
        ]  # fmt: skip
    lines += ["| sets | speakers | sentences | recordings | verdict |", "|---|---|---|---|---|"]
    details: list[str] = []
    faults: dict[str, list[str]] = {"speakers": [], "recordings": [], "sentences": []}
    for found in overlaps(kinds, key_of):
        pair, both = f"{found.first.name} and {found.second.name}", f"{found.first} and {found.second} share"
        kind = kinds[found.first] if kinds[found.first] == kinds[found.second] else ""
        decided = sorted({*allowed} & {found.first.name, found.second.name})
        known = not {found.first, found.second} & unknown.keys()
        verdict = "disjoint speakers" if known else "no shared speakers known"
        if found.speakers and kind:
            verdict = f"both are {kind} sets"
        elif found.speakers and decided:
            verdict = f"SHARED SPEAKERS, allowed for {' and '.join(decided)}"
        elif found.speakers:
            verdict = "SHARED SPEAKERS, an error"
            faults["speakers"].append(
                f"{both} the speakers {examples(found.speakers)}; keep each in one of them, or allow it with "
                f"--allow-shared-speakers {found.second.name}"
            )
        if found.recordings and not kind and forbid_recordings:
            verdict = verdict if found.speakers else "SHARED RECORDINGS, an error"
            faults["recordings"].append(
                f"{both} the recordings {examples(found.recordings)}; keep all clips of each in one of them"
            )
        apart = not kind and bool({*forbid_sentences} & {found.first.name, found.second.name})
        if apart and not found.sentences:
            verdict += ", disjoint sentences"
        elif apart:
            verdict = verdict if found.speakers else "SHARED SENTENCES, an error"
            faults["sentences"].append(
                f"{both} {len(found.sentences)} sentences, such as {next(iter(found.sentences))!r}; "
                "remove them from the training set"
            )
        said = sum(found.sentences.values())
        share = f" ({said} of {found.spoken} utterances)" if said else ""
        shared = f"{len(found.speakers)} | {len(found.sentences)}{share} | {len(found.recordings)}"
        lines.append(f"| {pair} | {shared} | {verdict} |")
        sentences = [
            f"{isolated(repr(shorten(sentence, LENGTH)))} ({count})" for sentence, count in found.sentences.items()
        ]
        for what, names in (("speakers", found.speakers), ("sentences", sentences), ("recordings", found.recordings)):
            if names:
                details.append(f"- {what} of {pair}: {examples(names)}")
    lines += ["", "## Details", "", *(details or ["Nothing is shared."])]
    return "\n".join(lines) + "\n", [fault for own in faults.values() for fault in own]
