#!/usr/bin/env python3
"""Data directories of the AN4 recipe: train, dev and test, divided as in ESPnet's recipe."""

from pathlib import Path

from salience import program
from salience.corpora import an4 as an4_corpus
from salience.corpora.clips import BadClips
from salience.corpora.sets import Sets
from salience.errors import InputError
from salience.files import files_below
from salience.steps import Step, audio_fingerprint


def main(out: Path, an4: Path, dev_utterances: int = 100, skip_bad_clips: bool = False) -> None:
    """Write the data directories train, dev and test, and <out>/preparation.txt.

    The first training utterances in the order of their ids are dev, the
    others train.  On the whole corpus that makes 848, 100 and 130: the split
    of ESPnet's recipe and of the paper.  An id begins with the speaker, so
    one speaker may be in both train and dev (check_leakage.py says who).

    Args:
        out: folder for the data directories
        an4: root of AN4
        dev_utterances: number of training utterances that are dev
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    root = an4_corpus.find_root(an4.absolute())
    files = [path for part in ("etc", "wav") for path in files_below(root / part)]
    step = Step(out / "step.json", config | {"files": audio_fingerprint(files)}, [], [out / "preparation.txt"])
    if step.is_done():
        return
    sets = Sets(BadClips(out, skip_bad_clips))
    utterances = list(an4_corpus.utterances(root, sets.bad))
    sets.report_bad()
    # As LC_ALL=C sorts.
    train = sorted((u for u in utterances if u.split == "train"), key=lambda u: u.id.encode())
    if not 0 < dev_utterances < len(train):
        raise InputError(
            f"--dev-utterances {dev_utterances} leaves dev or train empty; {root} has {len(train)} training "
            "utterances, so give a number below that, and at least 1"
        )
    sets.found = {
        "train": train[dev_utterances:],
        "dev": train[:dev_utterances],
        "test": [u for u in utterances if u.split == "test"],
    }
    longest = max(utterances, key=lambda u: (u.duration, u.id))
    sets.notes += [
        f"dev is the first {dev_utterances} utterances of the training list in the order of their ids",
        f"the longest utterance has {longest.duration:.2f} s: {longest.id}",
    ]
    with step:
        sets.write(out, list(sets.found))


if __name__ == "__main__":
    program.main(main)
