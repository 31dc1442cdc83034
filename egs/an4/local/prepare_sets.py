#!/usr/bin/env python3
"""Data directories of the AN4 recipe: train, dev and test, parted as ESPnet's recipe parts them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from salience import program
from salience.corpora import an4 as an4_corpus
from salience.corpora.clips import BadClips
from salience.data.directories import write_data_dir
from salience.data.leakage import overlaps
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below, whole_file
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)


def main(out: Path, an4: Path, dev_utterances: int = 100, skip_bad_clips: bool = False) -> None:
    """Write the data directories train, dev and test, and <out>/preparation.txt.

    The first training utterances in the order of their ids are dev, the
    others train.  On the whole corpus that makes 848, 100 and 130: the split
    of ESPnet's recipe and of the paper.  An id begins with the speaker, so
    one speaker may be in both train and dev; preparation.txt says who.

    Args:
        out: folder for the data directories
        an4: root of AN4
        dev_utterances: how many training utterances are dev
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
    """
    root = an4_corpus.find_root(an4.absolute())
    files = [path for part in ("etc", "wav") for path in files_below(root / part)]
    config = {
        "an4": an4,
        "dev_utterances": dev_utterances,
        "skip_bad_clips": skip_bad_clips,
        "files": audio_fingerprint(files),
    }
    step = Step(out / "step.json", config, [], [out / "preparation.txt"])
    if step.is_done():
        return
    bad = BadClips(out, skip_bad_clips)
    utterances = list(an4_corpus.utterances(root, bad))
    bad.report()
    # As LC_ALL=C sorts.
    learnt = sorted((u for u in utterances if u.split == "train"), key=lambda u: u.id.encode())
    if not 0 < dev_utterances < len(learnt):
        raise InputError(
            f"--dev-utterances {dev_utterances} leaves dev or train empty; {root} has {len(learnt)} training "
            "utterances, so give a number below that, and at least 1"
        )
    sets = {
        "train": learnt[dev_utterances:],
        "dev": learnt[:dev_utterances],
        "test": [u for u in utterances if u.split == "test"],
    }
    with step:
        for name, members in sets.items():
            write_data_dir(out / name, members)
        _describe(out, sets, bad)
    logger.info("wrote %s to %s", ", ".join(f"{name} ({len(sets[name])})" for name in sets), out)


def _describe(out: Path, sets: Mapping[str, Sequence[Utterance]], bad: BadClips) -> None:
    lines = [
        f"dev is the first {len(sets['dev'])} utterances of the training list in the order of their ids.",
        "Characters are those of the transcripts with the spaces between words, as the CER counts them.",
        "",
        "set    utterances  minutes  speakers  characters  longest (s)",
    ]
    for name, members in sets.items():
        longest = max(members, key=lambda u: (u.duration, u.id))
        lines.append(
            f"{name:<6} {len(members):>10} {sum(u.duration for u in members) / 60:>8.1f} "
            f"{len({u.speaker for u in members}):>9} {sum(len(u.text) for u in members):>11}"
            f"  {longest.duration:.2f} {longest.id}"
        )
    lines.append("")
    for overlap in overlaps(out / name for name in sets):
        first, second = overlap.first.name, overlap.second.name
        speakers = ", ".join(
            f"{speaker} ({sum(u.speaker == speaker for u in sets[first])} utterances in {first}, "
            f"{sum(u.speaker == speaker for u in sets[second])} in {second})"
            for speaker in overlap.speakers
        )
        lines.append(f"{first} and {second} share {f'speakers: {speakers}' if speakers else 'no speaker'},")
        lines.append(
            f"  and {len(overlap.sentences)} sentences, which are {sum(overlap.sentences.values())} of "
            f"the {overlap.spoken} utterances of {second}."
        )
    lines += bad.left_out()
    with whole_file(out / "preparation.txt") as handle:
        handle.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    program.main(main)
